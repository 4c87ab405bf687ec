"""The console script ``portal``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import click
import httpx
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from portal import asgi, customers, migrate, worker
from portal import demo as demo_data
from portal.conformance.bench import CASES
from portal.conformance.run import conformance
from portal.database import PrivilegedRoleError, refuse_privileged, run_write
from portal.embedded import DATABASE, EmbeddedError, EmbeddedPostgres
from portal.health import diagnosis
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.ledger import upkeep
from portal.ledger.accounts import people
from portal.ledger.database import ledger_db
from portal.ledger.factory import create_ledger_app, dispose
from portal.settings import Settings, SettingsError
from portal.web import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A server that ended is noticed at once; this is for a machine that is busy with other things.
UP_SECONDS = 180
LINK = "パスワードは、ポータルの次のアドレスで設定します(24時間有効、1回限り)。"


@click.group()
def main() -> None:
    """予約連携ポータル."""
    logs.configure()


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _database() -> Iterator[Settings]:
    """Settings with database URLs; without DATABASE_URL the embedded server runs meanwhile."""
    settings = _settings()
    if settings.database_url is not None:
        yield migrate.with_roles(settings)
        return
    server = EmbeddedPostgres(settings.data_dir)
    try:
        server.ensure_running()
    except (EmbeddedError, OSError) as error:
        raise click.ClickException(str(error)) from None
    try:
        admin = server.url("postgres", "postgres")
        migrate.ensure_roles(admin, owner=True)
        migrate.ensure_database(admin, DATABASE)
        yield replace(
            settings, database_url=server.url("portal_app"), ledger_database_url=server.url("ledger_app"),
            owner_database_url=server.url("portal_owner"),
        )  # fmt: skip
    finally:
        server.release()


def _checked(settings: Settings) -> Settings:
    try:
        for url in (settings.database_url, settings.ledger_database_url):
            if url is not None:
                refuse_privileged(url)
    except PrivilegedRoleError as error:
        raise click.ClickException(str(error)) from None
    return settings


@main.group()
def db() -> None:
    """データベース."""


@db.command("upgrade")
def db_upgrade() -> None:
    """ロールとスキーマを最新にします (OWNER_DATABASE_URL)."""
    with _database() as settings:
        if settings.owner_database_url is None:
            raise click.ClickException("OWNER_DATABASE_URL を指定してください。")
        migrate.upgrade(settings.owner_database_url)
    click.echo("データベースは最新です。")


@main.command()
def demo() -> None:
    """空のデータベースにデモデータを入れます."""
    with _database() as settings:
        if settings.owner_database_url is None:
            raise click.ClickException("OWNER_DATABASE_URL を指定してください。")
        click.echo(
            "デモデータを登録しました。"
            if demo_data.load(settings)
            else "データがあるため、何もしませんでした。"
        )


@main.command()
@click.option("--only", type=click.Choice(["portal", "ledger"]), help="どちらか一方だけを起動します。")
def serve(only: str | None) -> None:
    """Webサーバーを起動します."""
    with _database() as settings:
        _checked(settings)
        _refuse_taken_port(settings)
        if only == "ledger":
            # A ledger that runs by itself has no worker of the POS beside it.
            upkeep.start(settings, threading.Event())
        asgi.serve(settings, only)


@main.command("worker")
def worker_command() -> None:
    """送信待ちをお席トットくんへ届けるワーカーを起動します."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _database() as settings:
        upkeep.start(settings, stop)
        worker.run(_checked(settings), stop)


@main.command("ledger-password")
@click.argument("login")
def ledger_password(login: str) -> None:
    """お席トットくんのLOGINに仮パスワードを発行します(管理者がログインできなくなったとき)."""
    with _database() as settings:
        app = create_ledger_app(_checked(settings))
        try:
            with app.app_context():
                password = run_write(
                    ledger_db.session(), lambda s: people.rescue(s, login, SystemClock().now())
                )
        except UserError as error:
            raise click.ClickException(
                f"ログインID「{login}」のアカウントはありません。"
                if error.status == 404
                else error.message + error.remedy
            ) from None
        finally:
            dispose(app)
    click.echo(f"仮パスワード：{password} (7日間有効。最初のログインで変更します)")


def _as_operator(work: Callable[[Session], str]) -> str:
    """Run ``work`` in a session of the owner and commit; a refusal becomes the command's error."""
    with _database() as settings:
        if settings.owner_database_url is None:
            raise click.ClickException("OWNER_DATABASE_URL を指定してください。")
        engine = create_engine(settings.owner_database_url)
        try:
            with Session(engine) as session:
                return run_write(session, work)
        except UserError as error:
            raise click.ClickException(error.message + error.remedy) from None
        finally:
            engine.dispose()


@main.command("company-add")
@click.argument("code")
@click.argument("name")
@click.option("--admin", default="admin", show_default=True, help="最初の企業管理者の担当者コード")
def company_add(code: str, name: str, admin: str) -> None:
    """企業コードCODEの企業と、最初の企業管理者を登録します."""
    path = _as_operator(lambda s: customers.add_company(s, code, name, admin, SystemClock().now()))
    click.echo(f"企業「{name}」を登録しました。{LINK}\n{path}")


@main.command("company-link")
@click.argument("code")
@click.option("--admin", default="admin", show_default=True, help="企業管理者の担当者コード")
def company_link(code: str, admin: str) -> None:
    """企業管理者のパスワード再設定リンクを発行します(ほかに企業管理者がいないとき)."""
    path = _as_operator(lambda s: customers.admin_link(s, code, admin, SystemClock().now()))
    click.echo(f"{LINK}\n{path}")


@main.command("ledger-shop-add")
@click.argument("shop_id")
@click.argument("name")
@click.option("--login", required=True, help="最初の管理者のログインID")
@click.option("--of", help="同じ企業の、登録済みの店舗ID(省略すると新しい企業)")
def ledger_shop_add(shop_id: str, name: str, login: str, of: str | None) -> None:
    """お席トットくんに店舗IDがSHOP_IDの店舗と、最初の管理者を登録します."""
    password = _as_operator(lambda s: customers.add_shop(s, shop_id, name, login, SystemClock().now(), of=of))
    click.echo(f"店舗「{name}」を登録しました。ログインID：{login}")
    click.echo(f"仮パスワード：{password} (7日間有効。最初のログインで変更します)")


@main.command()
def doctor() -> None:
    """動作環境を確認します."""
    with _database() as settings:
        findings = diagnosis.examine(settings)
    for found in findings:
        click.echo(f"{found.mark} {found.label}" + (f"：{found.remedy}" if found.remedy else ""))
    sys.exit(1 if any(found.mark == diagnosis.BAD for found in findings) else 0)


@main.command("conformance")
@click.option("--ledger", required=True, help="予約台帳のURL(/api/v1 の手前まで)")
@click.option("--client-id", required=True, help="試験用の店舗に発行された、未使用のClient id")
@click.option("--company-code", default="10001", show_default=True, help="Client idの企業コード")
@click.option("--store-code", default="001", show_default=True, help="Client idの店舗コード")
@click.option("--wait", "wait_seconds", default=600.0, show_default=True, help="座席のマッピングを待つ秒数")
@click.option("--only", default="", help="試すケースをコンマ区切りで指定します(例 S3,F1)。")
@click.option("--json", "as_json", is_flag=True, help="結果をJSONで出力します。")
def conformance_command(
    ledger: str,
    client_id: str,
    company_code: str,
    store_code: str,
    wait_seconds: float,
    only: str,
    as_json: bool,
) -> None:
    """予約台帳が連携の取り決め(docs/contract.md)どおりに動くか、実際のHTTPで確かめます.

    終了コード: 0 すべて合格、1 不合格あり、3 準備がなく試していないものがあります。
    """
    outcomes = []
    say = partial(click.echo, err=True)
    codes = {code.strip() for code in only.split(",") if code.strip()}
    unknown = codes - {each.code for each in CASES}
    if unknown:
        raise click.ClickException(f"--only のケースがありません: {', '.join(sorted(unknown))}")
    for outcome in conformance(
        ledger, client_id, company_code, store_code, only=codes, wait_seconds=wait_seconds, say=say
    ):
        outcomes.append(outcome)
        if not as_json:
            word = {"ok": "OK", "failed": "NG", "skipped": "--"}[outcome.state]
            click.echo(
                f"{word} {outcome.code:<4} {outcome.title}"
                + (f"\n        {outcome.reason}" if outcome.reason else "")
            )
    states = [outcome.state for outcome in outcomes]
    if as_json:
        click.echo(json.dumps([asdict(outcome) for outcome in outcomes], ensure_ascii=False, indent=1))
    else:
        click.echo(
            f"合格 {states.count('ok')}　不合格 {states.count('failed')}　未実施 {states.count('skipped')}"
        )
    sys.exit(1 if "failed" in states else 3 if "skipped" in states else 0)


def _refuse_taken_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            raise click.ClickException(
                f"ポート {settings.port} は使用中です。すでに起動していないかご確認のうえ、PORT で別の番号を指定してください。"
            ) from None


@main.command()
def up() -> None:
    """すべてをまとめて起動します (make run)."""
    given = _settings()
    _refuse_taken_port(given)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _database() as settings:
        if settings.owner_database_url is not None:
            migrate.upgrade(settings.owner_database_url)
            if demo_data.load(settings):
                click.echo("デモデータを登録しました。")
        _checked(settings)
        environ = os.environ | {"DATABASE_URL": settings.database_url or ""}
        environ["LEDGER_DATABASE_URL"] = settings.ledger_database_url or ""
        environ.pop("OWNER_DATABASE_URL", None)
        command = [sys.executable, "-m", "portal.cli"]
        children = {
            name: subprocess.Popen([*command, name], env=environ, start_new_session=True)
            for name in ("serve", "worker")
        }
        try:
            _supervise(settings, children, [*command, "worker"], environ, stop)
        finally:
            for child in children.values():
                child.terminate()
            for child in children.values():
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
    click.echo("停止しました。")


def _supervise(
    settings: Settings,
    children: dict[str, subprocess.Popen[bytes]],
    worker_command_line: list[str],
    environ: dict[str, str],
    stop: threading.Event,
) -> None:
    address = f"http://{settings.host}:{settings.port}"
    deadline = time.monotonic() + UP_SECONDS
    ready = False
    while not stop.wait(0.3):
        if children["serve"].poll() is not None:
            raise click.ClickException("Webサーバーが停止しました。上のメッセージをご確認ください。")
        if children["worker"].poll() is not None:
            stop.wait(2)
            children["worker"] = subprocess.Popen(worker_command_line, env=environ, start_new_session=True)
        if ready:
            continue
        try:
            ready = httpx.get(address + "/readyz", timeout=2).is_success
        except httpx.HTTPError:
            ready = False
        if ready:
            click.echo(f"""
起動しました。{address}
  USENレジ    企業コード 10001 / 担当者コード admin, manager, staff / パスワード {demo_data.PASSWORD}
  お席トットくん  {address}/ledger  ログインID 10001-1 / 同じパスワード
Ctrl-C で停止します。""")
        elif time.monotonic() > deadline:
            raise click.ClickException(f"{UP_SECONDS}秒以内に起動できませんでした。")


if __name__ == "__main__":
    main()
