"""Statements are prepared once a connection: the driver would forget them at every rollback."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from portal import database
from portal.database import bind_company, engine_options
from portal.kernel.ids import hash_token
from portal.ledger.api.views import ENTER
from portal.ledger.models import Reservation, ReservationSeat, VisitRecord
from portal.ledger.reservations import statements
from portal.settings import Settings
from portal.stores.models import Store
from portal.tables.models import DiningTable
from tests.conftest import World


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    made = sa.create_engine(settings.database_url or "", **engine_options(pool_size=1))
    yield made
    made.dispose()


def prepared(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'AS no_company$'"
        )
        return int(found.scalar_one())


def ask(engine: sa.Engine, number: int) -> int:
    # Each connection goes back to the pool with a rollback.
    with engine.connect() as connection:
        return int(connection.execute(sa.text("SELECT :n + 0 AS no_company"), {"n": number}).scalar_one())


def test_a_statement_stays_prepared_over_rollbacks(engine: sa.Engine) -> None:
    assert [ask(engine, n) for n in range(12)] == list(range(12))
    assert prepared(engine) == 1


def test_a_statement_that_failed_is_sent_again_and_others_stay(engine: sa.Engine) -> None:
    for n in range(8):
        ask(engine, n)
    for _ in range(8):
        with pytest.raises(sa.exc.DataError), engine.connect() as connection:
            connection.execute(sa.text("SELECT 1 / :n AS no_company"), {"n": 0})
    assert ask(engine, 5) == 5
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1 / :n AS no_company"), {"n": 1}).scalar_one() == 1


def test_a_column_more_does_not_disturb_what_is_prepared(engine: sa.Engine, settings: Settings) -> None:
    ask_store = sa.text("SELECT id, name FROM pos.store WHERE company_id = :c")
    for _ in range(8):
        with engine.connect() as connection:
            connection.execute(ask_store, {"c": 1}).all()
    owner = sa.create_engine(settings.owner_database_url or "")
    with owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE pos.store ADD COLUMN one_more text"))
    owner.dispose()
    with engine.connect() as connection:
        assert connection.execute(ask_store, {"c": 1}).all() == []


def test_a_transaction_begins_in_the_scope_of_its_company_and_ends_with_it(engine: sa.Engine) -> None:
    scope = sa.text("SELECT current_setting('app.company_id', true)")
    with Session(engine) as session:
        bind_company(session, 1)
        assert session.scalar(scope) == "1"
        assert session.scalar(sa.text("SELECT count(*) FROM pos.store")) == 3
        session.rollback()
        bind_company(session, 2)
        assert session.scalar(scope) == "2"
        session.commit()
        bind_company(session, None)
        assert session.scalar(scope) == ""
        assert session.scalar(sa.text("SELECT count(*) FROM pos.store")) == 0


def test_what_is_written_in_the_scope_is_kept_or_undone_as_a_whole(engine: sa.Engine) -> None:
    rename = sa.text("UPDATE pos.store SET name = 'undone' WHERE company_id = 1")
    with Session(engine) as session:
        bind_company(session, 1)
        assert session.execute(rename).rowcount == 3  # type: ignore[attr-defined]
        session.rollback()
        assert session.scalar(sa.text("SELECT count(*) FROM pos.store WHERE name = 'undone'")) == 0
        session.execute(rename)
        session.commit()
    with Session(engine) as session:
        bind_company(session, 1)
        assert session.scalar(sa.text("SELECT count(*) FROM pos.store WHERE name = 'undone'")) == 3


def test_a_rested_connection_that_is_gone_is_replaced(
    engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTED_SECONDS", 0.0)
    with Session(engine) as session:
        bind_company(session, 1)
        gone = session.scalar(sa.text("SELECT pg_backend_pid()"))
    owner = sa.create_engine((settings.owner_database_url or "").replace("portal_owner", "postgres"))
    with owner.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:p)"), {"p": gone})
    owner.dispose()
    with Session(engine) as session:
        bind_company(session, 1)
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) != gone


def test_a_connection_that_broke_a_moment_ago_fails_as_the_driver_says_and_the_next_works(
    engine: sa.Engine, settings: Settings
) -> None:
    with Session(engine) as session:
        bind_company(session, 1)
        gone = session.scalar(sa.text("SELECT pg_backend_pid()"))
    owner = sa.create_engine((settings.owner_database_url or "").replace("portal_owner", "postgres"))
    with owner.begin() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:p)"), {"p": gone})
    owner.dispose()
    for number in range(2):
        with Session(engine) as session:
            bind_company(session, 1)
            if number:
                assert session.scalar(sa.text("SELECT pg_backend_pid()")) != gone
            else:
                with pytest.raises(sa.exc.OperationalError):
                    session.scalar(sa.text("SELECT 1"))


def test_a_lean_statement_fails_as_the_sessions_others_do_and_names_no_value(engine: sa.Engine) -> None:
    twice = "INSERT INTO pos.company (id, code, name) VALUES (%(id)s, '鈴木 090-1234-5678', '') RETURNING 1 AS one"
    with Session(engine) as session:
        bind_company(session, 1)
        with pytest.raises(sa.exc.ProgrammingError) as no_such:
            database.fetch(session, "SELECT nothing FROM pos.store", {})
        session.rollback()
        with pytest.raises(sa.exc.DBAPIError) as refused:
            database.fetch(session, twice, {"id": 1})
        session.rollback()
        with pytest.raises(sa.exc.IntegrityError) as empty:
            database.fetch(session, "UPDATE pos.store SET name = NULL WHERE name <> %(n)s", {"n": "鈴木"})
        session.rollback()
        found = database.fetch(session, "SELECT name, code FROM pos.store WHERE code = %(c)s", {"c": "001"})
        assert found[0].code == "001"
        assert database.fetch(session, "UPDATE pos.store SET name = name", {}) == ()
    assert database.sqlstate(no_such.value) == "42703"
    assert database.sqlstate(empty.value) == "23502"
    assert "鈴木" not in str(empty.value).split("DETAIL")[0]
    assert not any(error.value.connection_invalidated for error in (no_such, refused, empty))


def test_a_lean_statement_on_a_dead_connection_says_so_and_the_next_transaction_works(
    engine: sa.Engine, settings: Settings
) -> None:
    with Session(engine) as session:
        bind_company(session, 1)
        gone = database.fetch(session, "SELECT pg_backend_pid() AS pid", {})[0].pid
        owner = sa.create_engine((settings.owner_database_url or "").replace("portal_owner", "postgres"))
        with owner.begin() as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(:p)"), {"p": gone})
        owner.dispose()
        with pytest.raises(sa.exc.OperationalError) as lost:
            database.fetch(session, "SELECT 1 AS one", {})
        assert lost.value.connection_invalidated
        session.rollback()
        assert database.fetch(session, "SELECT count(*) AS stores FROM pos.store", {})[0].stores == 3


def test_rows_of_several_tables_are_written_at_once(engine: sa.Engine) -> None:
    stores, tables = Store.__table__, DiningTable.__table__
    with Session(engine) as session:
        bind_company(session, 1)
        store, other = (
            found.id
            for found in database.fetch(session, "SELECT id FROM pos.store ORDER BY code LIMIT 2", {})
        )
        old = database.fetch(
            session, "SELECT id FROM pos.dining_table WHERE store_id = %(s)s ORDER BY name", {"s": store}
        )
        new = uuid.uuid4()
        common = {"company_id": 1, "store_id": store, "capacity": 4, "kind": "normal"}
        database.write_rows(session, [
            database.inserted(DiningTable, [{"id": new, "name": "N'1", "position": 99, **common}]),
            database.updated(DiningTable, "id", [{"id": old[0].id, "name": "新\\n\"しい\" %s"}]),
            database.updated(Store, "id", [{"id": store, "name": "店A"}, {"id": other, "name": "店B"}]),
            database.deleted(DiningTable, []),
        ])  # fmt: skip
        database.write_rows(session, [])
        names = dict(session.execute(sa.select(tables.c.id, tables.c.name)).all())  # type: ignore[arg-type]
        assert names[new] == "N'1"
        assert names[old[0].id] == '新\\n"しい" %s'
        shown = session.execute(sa.select(stores.c.id, stores.c.name).where(stores.c.id.in_([store, other])))
        assert dict(shown.all()) == {store: "店A", other: "店B"}  # type: ignore[arg-type]
        database.write_rows(session, [database.deleted(DiningTable, [{"id": new, "store_id": store}])])
        assert session.scalar(sa.select(sa.func.count()).where(tables.c.id == new)) == 0


def test_D2_what_a_partner_asks_for_is_found_by_keys_however_small_a_table_was_when_it_was_planned(
    world: World,
) -> None:
    """A plan is kept as long as its connection: of a young ledger's it would be a scan of all that comes later."""
    link, shop, token = uuid.uuid4(), uuid.uuid4(), uuid.uuid4().hex
    world.run("UPDATE ledger.pos_link SET token_hash = :h WHERE company_id = 1", h=hash_token(token))
    for table in ("reservation_seat", "visit_record", "event", "reservation"):
        world.run(f"DELETE FROM ledger.{table}")
    ids, now = [uuid.uuid4()], world.clock.now()
    asked: list[tuple[str, dict[str, object]]] = [
        (statements.KNOWN, {"shop": shop, "ids": ids}), (statements.ASKED, {"shop": shop, "ids": ids}),
        (statements.PLACES, {"link": link, "tables": ids}), (statements.LOST, {"link": link, "tables": ids}),
        (statements.ALIVE, {"ids": ids}),
        (statements.MEETS, {"shop": shop, "seats": ids, "latest": now, "earliest": now}),
    ]  # fmt: skip
    written = (
        database.updated(Reservation, "id", [{"id": ids[0], "status": "left"}]),
        database.updated(VisitRecord, "visit_id", [{"visit_id": ids[0], "revision": 2}]),
        database.deleted(ReservationSeat, [{"reservation_id": ids[0], "seat_id": ids[0]}]),
    )
    marks = {"rows": "CAST(%(rows)s AS jsonb)", "keys": "%(keys)s"}
    asked += [(part.statement.format(**marks), {"rows": "[]", "keys": ids}) for part in written]
    engine = sa.create_engine(world.settings.ledger_database_url or "", **engine_options(pool_size=1))
    with Session(engine) as session:
        database.fetch(session, ENTER, {"hash": hash_token(token)})
        for statement, values in asked:
            plan = "\n".join(row[0] for row in database.fetch(session, f"EXPLAIN {statement}", values))
            scans = re.findall(r"(?:Index|Index Only|Bitmap Heap|Seq) Scan .*\n +(\w+)", plan)
            assert scans, plan
            assert set(scans) <= {"Index", "Recheck"}, plan
    engine.dispose()
