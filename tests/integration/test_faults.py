"""The database in trouble: a clear page, nothing half-written, and the same press works afterwards (D1)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg
import pytest

from portal.database import db
from tests.conftest import World
from tests.web.test_flow import op, seat


@contextmanager
def full_disk(world: World) -> Iterator[None]:
    world.run(
        "CREATE FUNCTION pos.full() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    world.run(
        "CREATE TRIGGER full_disk BEFORE INSERT ON pos.occupancy FOR EACH ROW EXECUTE FUNCTION pos.full()"
    )
    yield
    world.run("DROP TRIGGER full_disk ON pos.occupancy")


@contextmanager
def read_only(world: World) -> Iterator[None]:
    plain = (world.settings.owner_database_url or "").replace("+psycopg", "")
    with psycopg.connect(plain.replace("portal_owner", "postgres"), autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER ROLE portal_app IN DATABASE {name} SET default_transaction_read_only = on")
        _forget_connections(world)
        yield
        admin.execute(f"ALTER ROLE portal_app IN DATABASE {name} RESET default_transaction_read_only")
    _forget_connections(world)


def _forget_connections(world: World) -> None:
    with world.app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    ("trouble", "said"), [(full_disk, "空き容量がないため"), (read_only, "読み取り専用のため")]
)
def test_D1_a_write_that_cannot_be_kept_says_so_and_the_same_press_works_later(
    world: World, trouble: Callable[[World], AbstractContextManager[None]], said: str
) -> None:
    pos = world.register()
    table, op_id = world.table("A1"), op()
    with trouble(world):
        answer = seat(pos, table, op_id=op_id)
    assert answer.status_code == 503  # type: ignore[attr-defined]
    assert said in answer.text  # type: ignore[attr-defined]
    assert "同じボタンをもう一度押しても、二重には登録されません" in answer.text  # type: ignore[attr-defined]
    assert world.one("SELECT count(*) FROM pos.visit") == 0
    assert world.one("SELECT count(*) FROM pos.operation WHERE kind = 'seat'") == 0
    assert seat(pos, table, op_id=op_id).status_code == 303  # type: ignore[attr-defined]
    assert world.one("SELECT count(*) FROM pos.visit") == 1
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1


def test_D1_a_locked_row_is_tried_again_or_answered_never_half_written(world: World) -> None:
    pos = world.register()
    seat(pos, world.table("A1"))
    visit = world.one("SELECT id FROM pos.visit")
    plain = (world.settings.owner_database_url or "").replace("+psycopg", "")
    with psycopg.connect(plain) as other:
        other.execute("SELECT 1 FROM pos.visit WHERE id = %s FOR UPDATE", (visit,))
        release = threading.Timer(4.0, other.rollback)
        release.start()
        answer = pos.post(f"/register/visits/{visit}/move", op_id=op(), table_id=world.table("A2"))
        release.join()
    assert answer.status_code == 303
    assert world.one("SELECT count(*) FROM pos.occupancy WHERE released_at IS NULL") == 1


def test_D1_an_exhausted_pool_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pos = world.register()
    with world.app.app_context(), ExitStack() as stack:
        pool = db.engine.pool
        monkeypatch.setattr(pool, "_timeout", 0.1)
        for _ in range(pool._max_overflow + pool.size()):  # type: ignore[attr-defined]
            stack.enter_context(db.engine.connect())
        answer = pos.get("/register/tables")
    assert answer.status_code == 503
    assert pos.get("/register/tables").status_code == 200
