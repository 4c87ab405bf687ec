"""Data of an earlier version survives an upgrade."""

from __future__ import annotations

import uuid

import psycopg

from portal import migrate
from portal.embedded import EmbeddedPostgres


def test_visits_of_the_first_version_keep_what_they_owe(server: EmbeddedPostgres) -> None:
    name = f"u{uuid.uuid4().hex[:12]}"
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    owner = server.url("portal_owner", name)
    migrate.upgrade(owner, "0001")
    plain = server.url("postgres", name).replace("+psycopg", "")
    store, visit, table = (str(uuid.uuid4()) for _ in range(3))
    with psycopg.connect(plain, autocommit=True) as db:
        db.execute("INSERT INTO pos.company (company_id, code, name) VALUES (1, '10001', '試験')")
        db.execute("INSERT INTO pos.store (id, company_id, code, name) VALUES (%s, 1, '001', '店')", (store,))
        db.execute(
            "INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind)"
            " VALUES (%s, 1, %s, 'A1', 4, 1, 'normal')", (table, store),
        )  # fmt: skip
        db.execute(
            "INSERT INTO pos.visit (id, company_id, store_id, training, kind, party_size, business_date, start_at,"
            " stay_minutes, seated_at, status, revision, times_revision, changed_at, created_at) VALUES"
            " (%s, 1, %s, false, 'walk_in', 2, '2026-11-24', now(), 60, now(), 'seated', 3, 2, now(), now())",
            (visit, store),
        )  # fmt: skip
        db.execute(
            "INSERT INTO pos.occupancy (id, company_id, store_id, visit_id, table_id, training, taken_at)"
            " VALUES (gen_random_uuid(), 1, %s, %s, %s, false, now())", (store, visit, table),
        )  # fmt: skip
    migrate.upgrade(owner)
    with psycopg.connect(plain, autocommit=True) as db:
        row = db.execute("SELECT revision, times_revision, stay_revision FROM pos.visit").fetchone()
        assert row == (3, 2, 2)
        assert db.execute("SELECT visit_id::text FROM pos.occupancy").fetchone() == (visit,)


def test_reservations_of_earlier_versions_get_a_number_and_are_found_by_phone(
    server: EmbeddedPostgres,
) -> None:
    name = f"u{uuid.uuid4().hex[:12]}"
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    owner = server.url("portal_owner", name)
    migrate.upgrade(owner, "0002")
    plain = server.url("postgres", name).replace("+psycopg", "")
    shop = str(uuid.uuid4())
    with psycopg.connect(plain, autocommit=True) as db:
        db.execute(
            "INSERT INTO ledger.shop (id, company_id, public_id, name) VALUES (%s, 1, 'OT1', '店')", (shop,)
        )
        for phone in ("03-1234-5678", "０３（１２３４）５６７８", "+81 3 1234 5678", ""):
            db.execute(
                "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, party_size, start_at, stay_minutes, phone)"
                " VALUES (gen_random_uuid(), 1, %s, 'reservation', 'before', 2, now(), 60, %s)", (shop, phone),
            )  # fmt: skip
    migrate.upgrade(owner)
    with psycopg.connect(plain, autocommit=True) as db:
        rows = db.execute("SELECT phone_key, number FROM ledger.reservation ORDER BY phone_key").fetchall()
        assert [row[0] for row in rows] == ["", "0312345678", "0312345678", "0312345678"]
        assert len({row[1] for row in rows}) == 4
