"""一括連携 (L9), 一括連携解除 (L7) and the runs behind them, through the screens."""

from __future__ import annotations

import io
import re
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from portal import jobs
from portal.database import bind_company, db
from portal.kernel.ids import hash_token
from portal.rollout import run as runner
from tests.conftest import Browser, World

HTMX = {"HX-Request": "true"}


def store_id(world: World, code: str) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = :c", c=code))


def issue(world: World, code: str, *, for_code: str | None = None, hint: str = "") -> str:
    """A Client id that the ledger issued for a store."""
    value = f"OT-{uuid.uuid4().hex[:12].upper()}"
    world.run(
        "INSERT INTO ledger.client_id (id, company_id, shop_id, value_hash, hint, pos_company_code, pos_store_code, issued_at)"
        " SELECT :i, 1, id, :h, :t, '10001', :c, now() FROM ledger.shop WHERE public_id = :p",
        i=uuid.uuid4(), h=hash_token(value), t=value[-4:], c=for_code or code, p=f"OT10001{int(code)}",
    )  # fmt: skip
    return value


def plan(admin: Browser, text: str) -> str:
    admin.get("/operations/rollout/")
    answer = admin.post("/operations/rollout/", text=text)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def states(world: World) -> list[tuple[str, str]]:
    from sqlalchemy import text  # noqa: PLC0415

    world.owner.rollback()
    rows = world.owner.execute(
        text("SELECT store_code, state || ' ' || code FROM pos.batch_row ORDER BY position")
    ).all()
    world.owner.rollback()
    return [(code, state.strip()) for code, state in rows]


def test_L9_dry_run_says_row_by_row_what_would_happen_and_changes_nothing(world: World) -> None:
    world.run("INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, external_store_id, created_at)"
              " VALUES (:i, 1, :s, 'tablecheck', 'active', 'TC-9', now())", i=uuid.uuid4(), s=store_id(world, "003"))  # fmt: skip
    good, used = issue(world, "002"), issue(world, "002")
    world.run(
        "UPDATE ledger.client_id SET used_at = now(), used_by_link_id = :l WHERE hint = :h",
        l=uuid.uuid4(),
        h=used[-4:],
    )
    admin = world.login()
    page = admin.get(
        plan(admin, f"店舗コード,Client id\n００２,{good}\n002,X\n001,A\n003,B\n999,C\n2,D\n,E\n")
    ).text
    for text in ("実行できます", "上の行にもあります", "すでにお席トットくんと連携中です", "ほかの予約サービスと連携中です",
                 "この店舗コードの店舗はありません", "「002」ではありませんか", "店舗コードが空です"):  # fmt: skip
        assert text in page, text
    assert good not in page
    assert "「実行」を押してください" in page
    useless = admin.get(plan(admin, "店舗コード,Client id\n999,C\n")).text
    assert "実行できる行がありません。説明を確認し、「一覧を修正」を押してください。" in useless
    assert "「実行」を押してください" not in useless
    assert (
        world.one("SELECT count(*) FROM pos.reservation_link WHERE store_id = :s", s=store_id(world, "002"))
        == 0
    )
    assert "すでに使用されています" in admin.get(plan(admin, f"002 {used}")).text
    assert "発行されていません" in admin.get(plan(admin, "002\tOT-NOPE")).text
    assert (
        "別の店舗用に発行された" in admin.get(plan(admin, f"002,{issue(world, '002', for_code='009')}")).text
    )
    world.network.fault = "down"
    assert "Client idは実行時に確認します" in admin.get(plan(admin, f"002,{good}")).text


def test_L9_the_run_links_reports_and_takes_a_row_back(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}\n003,OT-WRONG\n001,x")
    assert states(world) == [
        ("002", "waiting"),
        ("003", "skipped CLIENT_ID_UNKNOWN"),
        ("001", "skipped ALREADY_LINKED"),
    ]
    assert admin.post(f"{where}/start").status_code == 303
    page = admin.get(where).text
    assert "処理中" in page
    assert "every 2s" in page
    jobs.run_due(world.app)
    page = admin.get(where, **HTMX).text
    assert not page.lstrip().startswith("<!doctype")
    assert "every 2s" not in page
    assert "1 / 1 店舗" in page
    assert "店舗ID OT100012" in page
    assert admin.post(f"{where}/start").status_code == 409
    csv = admin.get(f"{where}/result.csv")
    assert csv.data.startswith(b"\xef\xbb\xbf")
    assert "CLIENT_ID_UNKNOWN" in csv.text
    assert re.search(r"_\d{12}\.csv", csv.headers["Content-Disposition"])
    assert world.one("SELECT count(*) FROM pos.batch_row WHERE client_id_sealed IS NOT NULL") == 0
    assert (
        world.one(
            "SELECT count(*) FROM pos.audit_entry WHERE action = 'link_started' AND store_id = :s",
            s=store_id(world, "002"),
        )
        == 1
    )
    row = world.one("SELECT id FROM pos.batch_row WHERE store_code = '002'")
    assert admin.post(f"{where}/rows/{row}/undo").status_code == 303
    assert (
        world.one("SELECT count(*) FROM ledger.pos_link WHERE pos_store_code = '002' AND ended_at IS NULL")
        == 0
    )
    assert states(world)[0] == ("002", "undone")
    assert admin.post(f"{where}/rows/{row}/undo").status_code == 409
    assert admin.post(f"{where}/rows/{uuid.uuid4()}/undo").status_code == 404


def test_L9_table_sync_and_mapping_of_all_in_one_further_run(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}\n003,{issue(world, '003')}")
    admin.post(f"{where}/start")
    jobs.run_due(world.app)
    assert "続けてテーブル同期と座席マッピング" in admin.get(where).text
    answer = admin.post("/operations/rollout/prepare", run=where.rsplit("/", 1)[1])
    jobs.run_due(world.app)
    page = admin.get(answer.location).text
    assert "8件の座席をマッピングしました　未マッピング 1席" in page
    assert world.one("SELECT count(*) FROM ledger.seat_mapping") == 24
    assert world.one("SELECT count(*) FROM pos.table_sync WHERE outcome = 'ok'") == 3
    answer = admin.post("/operations/rollout/mapping", all="1")
    jobs.run_due(world.app)
    assert "マッピング済み 8 / 9 席" in admin.get(answer.location).text
    assert admin.post("/operations/rollout/prepare").status_code == 422


@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_L9_a_worker_killed_in_the_middle_does_no_harm(
    world: World, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}\n003,{issue(world, '003')}")
    admin.post(f"{where}/start")
    run_id = uuid.UUID(where.rsplit("/", 1)[1])
    deliverer = world.app.extensions["deliverer"]

    def killed(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "_settle" if moment == "after the call" else "_call", killed)
        with world.app.app_context():
            bind_company(db.session(), 1)
            with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as pool:
                runner.drain(db.session(), deliverer, run_id, pool)
    assert [state for _, state in states(world)] == ["doing", "doing"]
    with world.app.app_context(), ThreadPoolExecutor(1) as pool:
        bind_company(db.session(), 1)
        assert runner.drain(db.session(), deliverer, run_id, pool) == "wait"
        world.clock.offset += timedelta(minutes=2)
        assert runner.drain(db.session(), deliverer, run_id, pool) == "done"
    assert [state for _, state in states(world)] == ["done", "done"]
    assert world.one("SELECT count(*) FROM ledger.pos_link WHERE ended_at IS NULL") == 3
    assert world.one("SELECT count(*) FROM pos.reservation_link WHERE state = 'active'") == 3
    # The token that was kept is the one that counts.
    for code in ("002", "003"):
        assert "準備　2 / 5" in admin.get(f"/operations/links/{store_id(world, code)}").text


def test_L9_pause_resume_and_stop(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}\n003,{issue(world, '003')}")
    assert admin.post(f"{where}/pause").status_code == 409
    admin.post(f"{where}/start")
    assert admin.post(f"{where}/pause").status_code == 303
    jobs.run_due(world.app)
    assert [state for _, state in states(world)] == ["waiting", "waiting"]
    assert "一時停止中" in admin.get(where).text
    assert admin.post(f"{where}/resume").status_code == 303
    world.network.fault = "down"
    jobs.run_due(world.app)
    assert "自動で再試行しています" in admin.get(where).text
    world.network.fault = ""
    jobs.run_due(world.app, early=True)
    assert [state for _, state in states(world)] == ["done", "done"]
    second = plan(admin, f"002,{issue(world, '002')}")
    assert admin.post(f"{second}/cancel").status_code == 303
    assert admin.post(f"{second}/start").status_code == 409


def test_L9_the_ledger_stays_away_and_the_rows_say_so(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}")
    admin.post(f"{where}/start")
    world.network.fault = "500"
    for _ in range(8):
        jobs.run_due(world.app, early=True)
    assert states(world) == [("002", "failed UNAVAILABLE")]
    assert "応答がありませんでした" in admin.get(where).text


def test_L7_many_stores_are_unlinked_after_a_page_that_says_what_stops(world: World) -> None:
    admin = world.login()
    admin.get("/operations/links")
    first = store_id(world, "001")
    answer = admin.post("/operations/rollout/unlink", store_ids=[first])
    page = admin.get(answer.location).text
    assert "1店舗の連携を解除しますか" in page
    assert "未送信・未連携の来店 <strong>0件" in page
    assert world.one("SELECT count(*) FROM pos.reservation_link WHERE ended_at IS NULL") == 1
    assert admin.post(f"{answer.location}/start").status_code == 303
    jobs.run_due(world.app)
    assert "連携を解除しました" in admin.get(answer.location).text
    assert world.one("SELECT count(*) FROM ledger.pos_link WHERE ended_at IS NULL") == 0
    assert world.one("SELECT count(*) FROM pos.reservation_link WHERE state = 'ended'") == 1
    where = plan(admin, f"001,{issue(world, '001')}")
    admin.post(f"{where}/start")
    jobs.run_due(world.app)
    assert states(world)[-1] == ("001", "done")


def test_L9_the_list_comes_as_a_file_too_and_bad_ones_are_said(world: World) -> None:
    admin = world.login()
    admin.get("/operations/rollout/")
    file = (io.BytesIO("店舗名,Client id,店舗コード\n新宿店,OT-1,002\n".encode("cp932")), "一覧.csv")
    answer = admin.client.post(
        "/operations/rollout/",
        data={"csrf_token": admin.token, "file": file},
        content_type="multipart/form-data",
    )
    assert answer.status_code == 303
    assert states(world) == [("002", "skipped CLIENT_ID_UNKNOWN")]
    for text in ("", "   ", "店舗コード,Client id\n", "\x00"):
        bad = admin.post("/operations/rollout/", text=text)
        assert bad.status_code == 422, text
        assert "ご確認ください" in bad.text
    many = admin.post("/operations/rollout/", text="\n".join(f"{n},x" for n in range(5002)))
    assert many.status_code == 422
    assert "002" in admin.get("/operations/rollout/template.csv").text


def test_L5_the_other_providers_are_recorded_and_exclude(world: World) -> None:
    admin = world.login()
    second = store_id(world, "002")
    admin.get(f"/operations/links/{second}")
    bad = admin.post(f"/operations/links/{second}/provider", provider="nobody", external_id="")
    assert bad.status_code == 422
    assert "予約サービスを選択してください" in bad.text
    assert (
        admin.post(
            f"/operations/links/{second}/provider", provider="ebica_retty", external_id="ＥＢ-77"
        ).status_code
        == 303
    )
    page = admin.get(f"/operations/links/{second}").text
    assert "ebica・Retty連携中" in page
    assert "EB-77" in page
    assert "連携の準備" not in page
    assert (
        admin.post(f"/operations/links/{second}/provider", provider="tablecheck", external_id="T").status_code
        == 409
    )
    assert admin.post(f"/operations/links/{second}", client_id=issue(world, "002")).status_code == 409
    assert "ebica・Retty連携中" in admin.get("/operations/links?state=other").text
    assert admin.post(f"/operations/links/{second}/end").status_code == 303
    assert "未連携" in admin.get(f"/operations/links/{second}").text


def test_L2_L3_L10_the_list_shows_rate_readiness_and_filters(world: World) -> None:
    admin = world.login()
    page = admin.get("/operations/links").text
    assert "1 <small>/ 3 店舗" in page
    assert "1-3 / 3" in page
    assert "<th>連携状態<br>" in page
    assert "未マッピング" in page
    shown = {code: row for code in ("001", "002", "003") for row in page.split("<tr") if f">{code}<" in row}
    assert "お席トットくん連携中" in shown["001"]
    assert "未連携" in shown["002"]
    for code, row in shown.items():
        assert f'href="/operations/links/{store_id(world, code)}"' in row
        assert "の連携設定" in row
    assert "渋谷店" in admin.get("/operations/links?state=preparing", **HTMX).text
    assert "渋谷店" not in admin.get("/operations/links?state=unlinked", **HTMX).text.split("<tbody>")[1]
    csv = admin.get("/operations/links.csv").text
    assert "001,渋谷店,お席トットくん連携中" in csv
    assert csv.count("\n") == 4
    steps = admin.get(f"/operations/links/{store_id(world, '001')}").text
    assert "4. 座席マッピング" in steps
    assert "次に行う" in steps


def test_L5_two_runs_over_the_same_store_at_the_same_moment_link_it_once(world: World) -> None:
    admin = world.login()
    runs = [uuid.UUID(plan(admin, f"002,{issue(world, '002')}").rsplit("/", 1)[1]) for _ in range(2)]
    world.run("UPDATE pos.batch_run SET state = 'running', started_at = now()")
    together = threading.Barrier(2)

    def work(run_id: uuid.UUID) -> str:
        with world.app.app_context(), ThreadPoolExecutor(1) as pool:
            bind_company(db.session(), 1)
            together.wait()
            return runner.drain(db.session(), world.app.extensions["deliverer"], run_id, pool)

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(work, runs)) == ["done", "done"]
    ends = sorted(state for _, state in states(world))
    assert ends[0] == "done"
    assert ends[1] in ("failed ALREADY_LINKED", "failed IN_PROGRESS")
    assert (
        world.one(
            "SELECT count(*) FROM pos.reservation_link WHERE ended_at IS NULL AND store_id = :s",
            s=store_id(world, "002"),
        )
        == 1
    )


@pytest.mark.parametrize("answered", [True, False])
def test_L9_L7_a_link_that_is_ended_while_the_run_begins_it_ends_on_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    admin, other = world.login(), world.login()
    where = plan(admin, f"002,{issue(world, '002')}")
    run_id = uuid.UUID(where.rsplit("/", 1)[1])
    inner, seen = world.network.handle_request, []

    def handle(request: httpx.Request) -> httpx.Response:
        """連携解除 at the portal while the ledger's answer is under way; or that answer is lost first."""
        answer = inner(request)
        if request.method == "POST" and request.url.path.endswith("/link") and not seen:
            seen.append(other.post(f"/operations/links/{store_id(world, '002')}/end").status_code)
            if not answered:
                raise httpx.ReadTimeout("lost")
        return answer

    monkeypatch.setattr(world.network, "handle_request", handle)
    world.run("UPDATE pos.batch_run SET state = 'running', started_at = now()")
    with world.app.app_context(), ThreadPoolExecutor(1) as pool:
        bind_company(db.session(), 1)
        while runner.drain(db.session(), world.app.extensions["deliverer"], run_id, pool) != "done":
            pass
    assert seen == [303]
    assert states(world) == [("002", "failed REFUSED")]
    assert "実行中に、この店舗の連携が解除されました。" in admin.get(where).text
    links = "SELECT string_agg(state, ' ') FROM pos.reservation_link WHERE store_id = :s"
    assert world.one(links, s=store_id(world, "002")) == "ended"
    # Over there nothing is left where an answer came; else the fresh Client id replaces it.
    left = "SELECT count(*) FROM ledger.pos_link WHERE pos_store_code = '002' AND ended_at IS NULL"
    assert world.one(left) == (0 if answered else 1)
    again = admin.post(f"/operations/links/{store_id(world, '002')}", client_id=issue(world, "002"))
    assert again.status_code == 303
    assert world.one(left) == 1


def test_L9_an_older_ledger_that_cannot_map_says_what_to_press(world: World) -> None:
    admin = world.login()
    first = store_id(world, "001")

    def older(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(("/mapping", "/link/check", "/trace")):
            return httpx.Response(404, json={"code": "NOT_FOUND", "message": ""})
        return inner(request)

    inner = world.network.handle_request
    world.network.handle_request = older  # type: ignore[method-assign]
    assert "対応していません" in admin.get(f"/mapping/{first}").text
    answer = admin.post("/operations/rollout/prepare", all="1")
    jobs.run_due(world.app)
    assert "「USENレジ座席同期」を押してください" in admin.get(answer.location).text
    assert world.one("SELECT count(*) FROM pos.table_sync WHERE outcome = 'ok'") >= 1
    assert "Client idは実行時に確認します" in admin.get(plan(admin, f"002,{issue(world, '002')}")).text


def test_L9_a_run_whose_job_got_lost_gets_another(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}")
    admin.post(f"{where}/start")
    world.run("DELETE FROM procrastinate.procrastinate_jobs")
    for minutes, state in ((0, "waiting"), (5, "done")):
        world.clock.offset += timedelta(minutes=minutes)
        with world.app.app_context():
            jobs.defer_soon(runner.sweep_runs, company_id=None)
        jobs.run_due(world.app)
        assert states(world) == [("002", state)]
