"""What the database itself decides: tenants, rights, races."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import MetaData, create_engine, text

import portal.ledger.models
import portal.models  # noqa: F401
from migrations.tenants import guard_tenant_table
from portal.database import Base, PrivilegedRoleError, bind_company, db, libpq, refuse_privileged
from portal.embedded import EmbeddedPostgres
from portal.ledger.database import LedgerBase
from portal.link.delivery import LEASE
from portal.settings import Settings
from portal.worker import sweep
from tests.conftest import World


def plain(url: str | None) -> str:
    return libpq(url)


def test_unset_company_sees_no_rows_and_another_company_not_mine(settings: Settings) -> None:
    with psycopg.connect(plain(settings.database_url), autocommit=True) as app:
        tables = app.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'pos' AND c.relkind = 'r' AND c.relname <> 'login_throttle'"
        ).fetchall()
        assert len(tables) > 20
        for (name,) in tables:
            assert app.execute(f"SELECT count(*) FROM pos.{name}").fetchone() == (0,), name
        app.execute("SELECT set_config('app.company_id', '2', false)")
        assert app.execute("SELECT array_agg(code) FROM pos.company").fetchone() == (["20002"],)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "INSERT INTO pos.store (id, company_id, code, name) VALUES (gen_random_uuid(), 1, 'x', 'x')"
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("UPDATE pos.audit_entry SET action = 'x'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT 1 FROM ledger.shop")
    with psycopg.connect(plain(settings.ledger_database_url), autocommit=True) as ledger:
        assert ledger.execute("SELECT count(*) FROM ledger.reservation").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.execute("SELECT 1 FROM pos.store")


@pytest.mark.parametrize("schema", ["pos", "ledger"])
def test_a_new_tenant_table_is_guarded_by_one_call(settings: Settings, schema: str) -> None:
    engine = create_engine(settings.owner_database_url or "")
    with engine.begin() as owner, Operations.context(MigrationContext.configure(owner)):
        owner.exec_driver_sql(f"CREATE TABLE {schema}.thing (company_id bigint, name text)")
        guard_tenant_table("thing", schema=schema, rights="SELECT, INSERT")
        owner.exec_driver_sql(f"INSERT INTO {schema}.thing VALUES (1, 'mine'), (2, 'theirs')")
    engine.dispose()
    url = settings.database_url if schema == "pos" else settings.ledger_database_url
    with psycopg.connect(plain(url), autocommit=True) as app:
        assert app.execute(f"SELECT count(*) FROM {schema}.thing").fetchone() == (0,)
        app.execute("SELECT set_config('app.company_id', '1', false)")
        assert app.execute(f"SELECT array_agg(name) FROM {schema}.thing").fetchone() == (["mine"],)
        for forbidden in (
            f"INSERT INTO {schema}.thing VALUES (2, 'x')",
            f"UPDATE {schema}.thing SET name = 'x'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(forbidden)


def test_start_up_refuses_a_superuser(server: EmbeddedPostgres) -> None:
    with pytest.raises(PrivilegedRoleError, match="postgres"):
        refuse_privileged(server.url("postgres", "postgres"))
    refuse_privileged(server.url("portal_app", "postgres"))


def test_the_migration_makes_what_the_models_say(settings: Settings) -> None:
    engine = create_engine(settings.owner_database_url or "")
    with engine.connect() as connection:
        for base, schema in ((Base, "pos"), (LedgerBase, "ledger")):
            metadata: MetaData = base.metadata
            context = MigrationContext.configure(
                connection,
                opts={
                    "include_schemas": True,
                    "include_name": lambda name, kind, _, s=schema: kind != "schema" or name == s,
                },
            )
            found = [d for d in compare_metadata(context, metadata) if "alembic_version" not in str(d)]
            assert found == []
            checks = {
                str(c.name)
                for t in metadata.tables.values()
                for c in t.constraints
                if c.name and str(c.name).startswith("ck_")
            }
            have = set(
                connection.execute(
                    text(
                        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = CAST(:s AS regnamespace)"
                    ),
                    {"s": schema},
                ).scalars()
            )
            assert checks <= have
    engine.dispose()


def test_P8_of_many_terminals_that_seat_one_table_one_wins(world: World) -> None:
    terminals = [world.register(f"POS-{i}") for i in range(4)]
    table = world.table("A1")
    gate, codes = threading.Barrier(4), []

    def press(browser: object) -> None:
        gate.wait()
        answer = browser.post(  # type: ignore[attr-defined]
            f"/register/seat/{table}",
            op_id=str(uuid.uuid4()),
            party_size="2",
            stay="60",
            memo="",
            then="tables",
        )
        codes.append(answer.status_code)

    threads = [threading.Thread(target=press, args=(t,)) for t in terminals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [303, 409, 409, 409]
    assert world.one("SELECT count(*) FROM pos.visit") == 1


def test_L5_one_link_a_store_when_two_admins_press_at_once(world: World) -> None:
    ledger = world.ledger_login("10001-2")
    ledger.get("/client-ids")
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    ids = []
    for _ in range(2):
        page = ledger.post("/client-ids", company_code="10001", store_code="002").text
        ids.append(page.split('id="issued-client-id">')[1].split("<")[0])
    admins, gate, codes = [world.login(), world.login()], threading.Barrier(2), []

    def press(index: int) -> None:
        gate.wait()
        codes.append(admins[index].post(f"/operations/links/{store}", client_id=ids[index]).status_code)

    threads = [threading.Thread(target=press, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        world.one(
            "SELECT count(*) FROM pos.reservation_link WHERE store_id = :s AND ended_at IS NULL", s=store
        )
        == 1
    )
    assert (
        world.one(
            "SELECT count(*) FROM ledger.pos_link WHERE pos_store_code = '002' AND pos_company_code = '10001'"
        )
        == 1
    )
    assert 303 in codes


def test_D1_a_dead_holder_of_the_lease_blocks_no_longer_than_the_lease(world: World) -> None:
    pos = world.register()
    world.network.fault = "down"
    pos.post(
        f"/register/seat/{world.table('A1')}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="",
    )
    world.network.fault = ""
    world.run(
        "UPDATE pos.delivery_lane SET lease_token = gen_random_uuid(), lease_until = now() + interval '30 s', next_try_at = now()"
    )
    assert sweep(world.app) == 0
    world.clock.offset += LEASE + timedelta(seconds=16)
    assert sweep(world.app) == 1
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1


def test_D1_a_restored_ledger_is_told_again(world: World) -> None:
    pos = world.register()
    world.run("SELECT 1")
    pos.post(
        f"/register/seat/{world.table('A1')}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="",
    )
    world.run("DELETE FROM ledger.visit_record")
    world.run(
        "DELETE FROM ledger.reservation_seat WHERE reservation_id IN (SELECT id FROM ledger.reservation WHERE kind = 'walk_in')"
    )
    world.run("DELETE FROM ledger.reservation WHERE kind = 'walk_in'")
    world.run("UPDATE ledger.instance SET epoch = 'restored'")
    pos.post(
        f"/register/seat/{world.table('A2')}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="",
    )
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 2


def test_the_client_refuses_to_call_inside_a_transaction(world: World) -> None:
    with world.app.app_context():
        session = db.session()
        bind_company(session, 1)
        session.execute(text("SELECT 1"))
        with pytest.raises(RuntimeError, match="/signals"):
            world.app.extensions["deliverer"].client.signals(session, "x")
