"""Data of an earlier version survives an upgrade."""

from __future__ import annotations

import uuid

import psycopg

from portal import migrate
from portal.database import libpq
from portal.embedded import EmbeddedPostgres


def test_visits_of_the_first_version_keep_what_they_owe(server: EmbeddedPostgres) -> None:
    name = f"u{uuid.uuid4().hex[:12]}"
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    owner = server.url("portal_owner", name)
    migrate.upgrade(owner, "0001")
    plain = libpq(server.url("postgres", name))
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
    plain = libpq(server.url("postgres", name))
    shop = str(uuid.uuid4())
    with psycopg.connect(plain, autocommit=True) as db:
        db.execute(
            "INSERT INTO ledger.shop (id, company_id, public_id, name) VALUES (%s, 1, 'OT1', '店')", (shop,)
        )
        db.execute(
            "INSERT INTO ledger.account (id, company_id, shop_id, login, name, password_hash)"
            " VALUES (gen_random_uuid(), 1, %s, '10001-1', '予約担当', 'x')", (shop,),
        )  # fmt: skip
        for phone in ("03-1234-5678", "０３（１２３４）５６７８", "+81 3 1234 5678", ""):
            db.execute(
                "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, party_size, start_at, stay_minutes, phone)"
                " VALUES (gen_random_uuid(), 1, %s, 'reservation', 'before', 2, now(), 60, %s)", (shop, phone),
            )  # fmt: skip
    migrate.upgrade(owner)
    with psycopg.connect(plain, autocommit=True) as db:
        # Who had an account could do everything, and still can; nobody's password became temporary.
        found = db.execute("SELECT role, active, temporary_until, revision FROM ledger.account").fetchone()
        assert found == ("manager", True, None, 1)
        rows = db.execute("SELECT phone_key, number FROM ledger.reservation ORDER BY phone_key").fetchall()
        assert [row[0] for row in rows] == ["", "0312345678", "0312345678", "0312345678"]
        assert len({row[1] for row in rows}) == 4


def test_slips_that_were_paid_before_parts_and_rates_agree_afterwards(server: EmbeddedPostgres) -> None:
    name = f"u{uuid.uuid4().hex[:12]}"
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    owner = server.url("portal_owner", name)
    migrate.upgrade(owner, "0002")
    plain = libpq(server.url("postgres", name))
    store, visit, paid, given_up = (str(uuid.uuid4()) for _ in range(4))
    with psycopg.connect(plain, autocommit=True) as db:
        db.execute("INSERT INTO pos.company (company_id, code, name) VALUES (1, '10001', '試験')")
        db.execute("INSERT INTO pos.store (id, company_id, code, name) VALUES (%s, 1, '001', '店')", (store,))
        db.execute(
            "INSERT INTO pos.visit (id, company_id, store_id, training, kind, party_size, business_date, start_at,"
            " stay_minutes, seated_at, status, changed_at, created_at) VALUES"
            " (%s, 1, %s, false, 'walk_in', 2, '2026-11-24', now(), 60, now(), 'left', now(), now())", (visit, store),
        )  # fmt: skip
        for slip, number, status, total in ((paid, 1, "paid", 1500), (given_up, 2, "voided", None)):
            db.execute(
                "INSERT INTO pos.slip (id, company_id, store_id, visit_id, business_date, training, number, status,"
                " opened_at, paid_at, total_yen) VALUES (%s, 1, %s, %s, '2026-11-24', false, %s, %s, now(), now(), %s)",
                (slip, store, visit, number, status, total),
            )  # fmt: skip
        for price, percent in ((600, 10), (900, 8)):
            db.execute(
                "INSERT INTO pos.slip_line (id, company_id, slip_id, name, unit_price_yen, tax_percent, quantity, ordered_at)"
                " VALUES (gen_random_uuid(), 1, %s, 'x', %s, %s, 1, now())", (paid, price, percent),
            )  # fmt: skip
        db.execute(
            "INSERT INTO pos.payment (id, company_id, slip_id, type_code, type_name, amount_yen, tendered_yen, change_yen,"
            " paid_at) VALUES (gen_random_uuid(), 1, %s, 'cash', '現金', 1500, 2000, 500, now())", (paid,),
        )  # fmt: skip
    migrate.upgrade(owner)
    with psycopg.connect(plain, autocommit=True) as db:
        rates = db.execute("SELECT total_10_yen, total_8_yen FROM pos.slip WHERE id = %s", (paid,)).fetchone()
        assert rates == (600, 900)
        part = db.execute(
            'SELECT p."number", p."of", p.amount_yen, p.total_8_yen, y.amount_yen FROM pos.slip_part p'
            " JOIN pos.payment y ON y.part_id = p.id"
        ).fetchall()
        assert part == [(1, 1, 1500, 900, 1500)]
        # Touched again, the old slip still agrees with itself.
        db.execute("UPDATE pos.slip SET revision = revision + 1")
