"""Idempotency-Key on the real database: races, crashes, lost answers; examples/kiosk.py against a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from portal.terminal_api import idempotency
from tests.conftest import World
from tests.contract.test_socket import environ
from tests.ports import free_port, said, started
from tests.terminal import Kiosk

KIOSK = Path(__file__).parents[2] / "examples" / "kiosk.py"


@pytest.fixture
def kiosk(world: World) -> Kiosk:
    world.register()
    kiosk = Kiosk(world)
    kiosk.get("/master")
    return kiosk


def ready(kiosk: Kiosk, table: str = "A1") -> tuple[str, dict[str, Any]]:
    """A party with one beer: the path and body that pay it."""
    visit = kiosk.order(kiosk.sit(table))
    body = {
        "slip_revision": visit["slip"]["revision"],
        "payments": [{"type_code": "cash", "amount_yen": 1000}],
    }
    return f"/visits/{visit['id']}/checkout", body


@pytest.mark.opened("now")
def test_the_same_key_and_body_get_the_same_answer_and_pay_once(world: World, kiosk: Kiosk) -> None:
    path, body = ready(kiosk)
    key = uuid.uuid4().hex
    first = kiosk.post(path, body, key=key)
    assert (first.status_code, first.headers["Idempotency-Replayed"]) == (200, "false")
    # Whatever happens to the visit since, and however the JSON is spaced.
    again = kiosk.client.post(
        f"/api/v1{path}", data=str(body).replace("'", '"').replace(" ", "   "), content_type="application/json",
        headers={"Authorization": f"Bearer {kiosk.token}", "Idempotency-Key": key},
    )  # fmt: skip
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json == first.json
    assert world.one("SELECT count(*) FROM pos.payment") == 1
    # A refusal is an answer too.
    other = uuid.uuid4().hex
    refused = [kiosk.post(path, body, key=other) for _ in range(2)]
    assert [r.status_code for r in refused] == [409, 409]
    assert refused[0].json == refused[1].json


@pytest.mark.opened("now")
def test_the_same_key_with_another_body_or_path_is_refused(world: World, kiosk: Kiosk) -> None:
    path, body = ready(kiosk)
    key = uuid.uuid4().hex
    assert kiosk.post(path, body, key=key).status_code == 200
    for where, what in (
        (path, {**body, "slip_revision": 99}),
        (path.replace("checkout", "move"), {"table_ids": [world.table("A2")]}),
    ):
        answer = kiosk.post(where, what, key=key)
        assert (answer.status_code, answer.json["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.opened("now")
def test_a_key_belongs_to_one_terminal(world: World, kiosk: Kiosk) -> None:
    other = Kiosk(world, "KIOSK-2")
    other.get("/master")
    key = uuid.uuid4().hex
    for each, table in ((kiosk, "A1"), (other, "A2")):
        answer = each.post("/visits", {"table_ids": [world.table(table)], "party_size": 2}, key=key)
        assert answer.status_code == 201, answer.text
    assert world.one("SELECT count(*) FROM pos.visit") == 2


@pytest.mark.opened("now")
def test_many_at_once_with_one_key_do_it_once_and_all_hear_the_same(world: World, kiosk: Kiosk) -> None:
    path, body = ready(kiosk)
    key, gate, answers = uuid.uuid4().hex, threading.Barrier(4), []

    def press() -> None:
        mine = Kiosk.__new__(Kiosk)
        mine.world, mine.client, mine.token = world, world.app.test_client(), kiosk.token
        gate.wait()
        answers.append(mine.post(path, body, key=key))

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [200] * 4, [a.text for a in answers]
    assert len({a.text for a in answers}) == 1
    assert sorted(a.headers["Idempotency-Replayed"] for a in answers) == ["false", "true", "true", "true"]
    assert world.one("SELECT count(*) FROM pos.payment") == 1


@pytest.mark.opened("now")
def test_who_dies_in_the_middle_is_taken_over_and_nothing_happens_twice(
    world: World, kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = ready(kiosk)
    key = uuid.uuid4().hex

    def dies(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        # After the payment was committed, before its answer was kept; and the claim is not given back.
        patch.setattr(idempotency, "_store", dies)
        patch.setattr(idempotency, "_release", lambda *_: None)
        with pytest.raises(SystemExit):
            kiosk.post(path, body, key=key)
    assert world.one("SELECT count(*) FROM pos.payment") == 1
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.1)
    busy = kiosk.post(path, body, key=key)
    assert (busy.status_code, busy.json["code"], busy.headers["Retry-After"]) == (409, "IN_PROGRESS", "1")
    world.clock.offset += idempotency.CLAIM + timedelta(seconds=1)
    answer = kiosk.post(path, body, key=key)
    assert (answer.status_code, answer.json["change_yen"], answer.json["done"]) == (200, 400, True)
    assert world.one("SELECT count(*) FROM pos.payment") == 1


@pytest.mark.opened("now")
def test_old_answers_are_forgotten_when_a_day_is_opened(world: World, kiosk: Kiosk) -> None:
    kiosk.sit("A1")
    assert world.one("SELECT count(*) FROM pos.idempotency_record") == 1
    world.clock.offset += idempotency.KEPT + timedelta(days=1)
    world.register("POS-2")
    assert world.one("SELECT count(*) FROM pos.idempotency_record") == 0


class Losing(threading.Thread):
    """A way to the server that loses the answer of the first payment after the server has made it."""

    def __init__(self, port: int, target: int) -> None:
        super().__init__(daemon=True)
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415

        self.lost = 0
        outer = self

        class Pass(BaseHTTPRequestHandler):
            def any_method(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = httpx.request(
                    self.command, f"http://127.0.0.1:{target}{self.path}", content=body, timeout=30,
                    headers={k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")},
                )  # fmt: skip
                if self.path.endswith("/checkout") and outer.lost == 0:
                    outer.lost += 1
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = any_method  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Pass)

    def run(self) -> None:
        self.server.serve_forever(0.05)


@pytest.mark.slow
@pytest.mark.opened("now")
def test_the_example_kiosk_pays_once_at_a_real_server_though_its_answer_is_lost(
    world: World, kiosk: Kiosk
) -> None:
    kiosk.order(kiosk.sit("A1"), 2)
    server, proxy = free_port(), free_port()
    log = world.settings.data_dir / f"server-{server}.log"
    process = started(["serve"], log, f"http://127.0.0.1:{server}/healthz", environ(world, server))
    way = Losing(proxy, server)
    way.start()
    try:
        run = [sys.executable, str(KIOSK), f"http://127.0.0.1:{proxy}", "A1"]
        done = subprocess.run(
            run,
            env=os.environ | {"KIOSK_TOKEN": kiosk.token},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr + said(log)
        assert "合計 ¥1,200" in done.stdout
        assert "会計が完了しました。伝票番号 0001　おつり ¥0" in done.stdout
        assert way.lost == 1
        assert world.one("SELECT count(*) FROM pos.payment") == 1
        empty = subprocess.run(
            [*run[:3], "A2"],
            env=os.environ | {"KIOSK_TOKEN": kiosk.token},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "会計前のお客様はいません" in empty.stderr
        wrong = subprocess.run(
            run,
            env=os.environ | {"KIOSK_TOKEN": "tk_x"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert (wrong.returncode, "[UNAUTHORIZED]" in wrong.stderr) == (1, True)
    finally:
        way.server.shutdown()
        way.server.server_close()
        process.terminate()
        process.wait(30)
