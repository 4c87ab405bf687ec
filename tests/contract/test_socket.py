"""The ledger as a second real process on a socket: slow, dead, and back again."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from datetime import timedelta

import httpx
import pytest

from portal.link.client import LedgerClient, LedgerProblemError
from portal.worker import sweep
from tests.conftest import Browser, World
from tests.ports import free_port, started

pytestmark = pytest.mark.slow


def environ(world: World, port: int) -> dict[str, str]:
    """What a process needs that serves the world's databases."""
    return dict(os.environ) | {
        "PORT": str(port), "DATABASE_URL": world.settings.database_url or "", "SECRET_KEY": "x" * 40,
        "LEDGER_DATABASE_URL": world.settings.ledger_database_url or "", "TOKEN_KEY": world.settings.token_key,
    }  # fmt: skip


def start(world: World, port: int) -> subprocess.Popen[bytes]:
    """The ledger as a process of its own."""
    log = world.settings.data_dir / f"ledger-{port}.log"
    url = f"http://127.0.0.1:{port}/login"
    return started(["serve", "--only", "ledger"], log, url, environ(world, port))


@pytest.fixture
def port(world: World) -> int:
    """Points the portal at a socket instead of the ledger in its own process."""
    number = free_port()
    parts = world.app.extensions["deliverer"]
    networked = LedgerClient(f"http://127.0.0.1:{number}")
    object.__setattr__(parts, "client", networked)
    return number


def seat(world: World, pos: Browser, table: str) -> None:
    path = f"/register/seat/{world.table(table)}"
    answer = pos.post(path, op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="", then="")
    assert answer.status_code == 303


def delivered(world: World) -> None:
    """A worker's turn for what a register may have had no time for: a slow machine is no fault of the link."""
    world.clock.offset += timedelta(seconds=20)
    sweep(world.app)


def test_D1_D2_a_real_ledger_dies_under_way_and_all_is_there_once(world: World, port: int) -> None:
    process = start(world, port)
    pos = world.register()
    seat(world, pos, "A1")
    delivered(world)
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    process.kill()
    process.wait()
    seat(world, pos, "A2")
    assert "予期せぬエラーが発生しました。" in pos.get("/register/tables").text
    process = start(world, port)
    delivered(world)
    process.terminate()
    process.wait(20)
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 2


def test_D1_a_ledger_that_never_answers_costs_the_person_seconds_not_the_seat(
    world: World, port: int
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", port))
        silent.listen(50)
        pos = world.register()
        # It comes back at all: after how many seconds is tested where time is told (test_silent, test_floor).
        seat(world, pos, "A1")
        assert "予期せぬエラーが発生しました。" in pos.get("/register/tables").text
        assert "お席トットくんから予約を取得できませんでした。" in pos.get("/register/reservations").text


def test_a_revoked_token_and_a_foreign_version_are_told_apart(world: World, port: int) -> None:
    process = start(world, port)
    try:
        client = LedgerClient(f"http://127.0.0.1:{port}")
        with pytest.raises(LedgerProblemError) as refused:
            client.signals(None, "unknown")
        assert (refused.value.status, refused.value.code) == (401, "UNAUTHORIZED")
        client.close()
        base = f"http://127.0.0.1:{port}/api/v1"
        assert (
            httpx.get(base + "/signals", headers={"X-Contract-Version": "9.0"}).json()["code"]
            == "VERSION_UNSUPPORTED"
        )
        for body in (b"", b"[]", b"{", b'{"link_id": 1}', b"\xff\x00"):
            answer = httpx.post(base + "/link", content=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    finally:
        process.terminate()
        process.wait(20)
