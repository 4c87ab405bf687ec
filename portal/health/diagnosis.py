"""``portal doctor``: what keeps a machine from serving well, each with its remedy."""

from __future__ import annotations

import shutil
import smtplib
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Engine, create_engine, text

from portal.database import engine_options, refuse_privileged
from portal.health.views import newest_revision
from portal.settings import Settings

OK, WARN, BAD = "OK", "注意", "NG"
SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One line: ``mark`` OK, 注意 (it runs, but look at it) or NG (it will not serve)."""

    mark: str
    label: str
    remedy: str = ""


def _try(label: str, remedy: str, test: Callable[[], bool], *, worst: str = BAD) -> Finding:
    try:
        good, kind = test(), ""
    except Exception as error:
        # Of an error its kind only: its text may hold a password of a URL.
        good, kind = False, f" ({type(error).__name__})"
    return Finding(OK, label) if good else Finding(worst, label + kind, remedy)


def _database(settings: Settings) -> list[Finding]:
    engine: Engine = create_engine(settings.database_url or "", **engine_options(pool_size=1))

    def one(sql: str) -> object:
        with engine.connect() as connection:
            return connection.execute(text(sql)).scalar()

    def figure(name: str) -> float:
        found = one(f"SELECT sum(value) FROM pos.metrics(now()) WHERE name = '{name}'")  # noqa: S608 - our own names
        return float(found or 0)  # type: ignore[arg-type]

    def jobs(state: str) -> float:
        found = one(f"SELECT value FROM pos.metrics(now()) WHERE name = 'jobs' AND label = '{state}'")  # noqa: S608
        return float(found or 0)  # type: ignore[arg-type]

    try:
        first = _try(
            "データベースへの接続",
            "DATABASE_URL と PostgreSQL の起動状態をご確認ください。",
            lambda: one("SELECT 1") == 1,
        )
        if first.mark == BAD:
            return [first]
        schema = _try(
            "マイグレーション", "「portal db upgrade」を実行してください。",
            lambda: one("SELECT version_num FROM public.alembic_version") == newest_revision(),
        )  # fmt: skip
        findings = [
            first,
            _try("データベースのロール", "DATABASE_URL には portal_app を指定してください。",
                 lambda: _unprivileged(settings.database_url or "")),
            schema,
            _try("データベースの時計", "サーバーの時刻合わせ(NTP)をご確認ください。",
                 lambda: abs(float(one("SELECT extract(epoch FROM clock_timestamp())")) - _now()) < 2, worst=WARN),  # type: ignore[arg-type]
            _try("最大接続数 100以上", "PostgreSQL の max_connections を増やしてください。",
                 lambda: int(str(one("SHOW max_connections"))) >= 100, worst=WARN),
        ]  # fmt: skip
        if schema.mark == OK:
            findings += [
                _try("ワーカーの稼働", "「portal worker」を起動してください。送信待ちと予定された処理が進みません。",
                     lambda: figure("workers") > 0, worst=WARN),
                _try("送信待ち 10分未満", "お席トットくんへの接続と、管理画面の「送信状況」をご確認ください。",
                     lambda: figure("owed_oldest_seconds") < 600, worst=WARN),
                _try("失敗した処理なし", "ワーカーのログをご確認ください。原因がなくなると、次の予定で実行されます。",
                     lambda: jobs("failed") == 0, worst=WARN),
            ]  # fmt: skip
        return findings
    finally:
        engine.dispose()


def _unprivileged(url: str) -> bool:
    refuse_privileged(url)
    return True


def _now() -> float:
    return time.time()


def _mail(url: str) -> bool:
    parts = urlsplit(url)
    secure = parts.scheme == "smtps"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    with kind(parts.hostname or "", parts.port or (465 if secure else 25), timeout=SECONDS) as server:
        return server.noop()[0] == 250


def examine(settings: Settings) -> list[Finding]:
    """Everything that can be found out from here; changes nothing."""
    data = settings.data_dir
    findings = [
        _try(
            "Python 3.11以上", "Python 3.11 以上で作り直してください。", lambda: sys.version_info >= (3, 11)
        ),
        _try(
            "空き容量 1GB以上",
            f"{data} のディスクを空けてください。",
            lambda: shutil.disk_usage(data).free > 10**9,
        ),
        *_database(settings),
    ]
    secrets = data / "secrets.json"
    if secrets.exists():
        findings.append(
            _try("秘密鍵のファイルの権限", f"chmod 600 {secrets} を実行してください。",
                 lambda: not stat.S_IMODE(secrets.stat().st_mode) & 0o077)
        )  # fmt: skip
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        findings.append(
            _try(
                "SECURE_COOKIES=1",
                "HTTPSで公開し、SECURE_COOKIES=1 を指定してください。",
                lambda: settings.secure_cookies,
                worst=WARN,
            )
        )
    ledger_url = settings.ledger_url
    if ledger_url is not None:
        findings.append(
            _try("お席トットくんへの接続", "LEDGER_URL とネットワークの接続状態をご確認ください。",
                 lambda: httpx.get(ledger_url + "/login", timeout=SECONDS).is_success)
        )  # fmt: skip
    smtp_url = settings.smtp_url
    if smtp_url is None:
        findings.append(Finding(WARN, "メールサーバー", "SMTP_URL がないため、メールは送信されません。"))
    else:
        findings.append(
            _try("メールサーバーへの接続", "SMTP_URL をご確認ください。", lambda: _mail(smtp_url), worst=WARN)
        )
    return findings
