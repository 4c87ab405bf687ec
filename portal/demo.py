"""Demo data, so that anybody can follow the README. The only place with fixed passwords."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta

from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from portal.checkout.models import MenuItem
from portal.database import run_write
from portal.factory import create_app, dispose
from portal.identity.models import Staff, StaffStore
from portal.identity.service import Actor
from portal.kernel.business_day import at_clock, business_date
from portal.kernel.ids import hash_token, new_id
from portal.kernel.passwords import hash_password
from portal.ledger.models import Account, ClientId, Reservation, ReservationSeat, Seat, Shop
from portal.ledger.seats.service import sync_seats
from portal.link.delivery import Deliverer
from portal.operations.service import start_link
from portal.payment_types.catalog import CATALOG
from portal.payment_types.models import PaymentType
from portal.settings import Settings
from portal.stores.models import Company, Store
from portal.tables.models import DiningTable
from portal.tables.service import push_tables

PASSWORD = "demo-Portal-2026"  # noqa: S105 - published in the README
STORES = (("001", "渋谷店"), ("002", "新宿店"), ("003", "池袋店"))
TABLES = ("A1", "A2", "A3", "A4", "A5", "A6", "A7", "T1", "C1")
MENU = (
    ("生ビール", "飲み物", 600, 10), ("枝豆", "料理", 380, 10), ("刺身盛り合わせ", "料理", 1480, 10),
    ("お持ち帰り弁当", "お持ち帰り", 900, 8),
)  # fmt: skip
PAYMENTS = ("cash", "credit", "transit_ic", "paypay", "v_point", "gift_card")


def load(settings: Settings) -> bool:
    """Fill an empty database; False where there is data already."""
    assert settings.owner_database_url is not None
    engine = create_engine(settings.owner_database_url)
    app = create_app(settings)
    deliverer: Deliverer = app.extensions["deliverer"]
    now = deliverer.clock.now()
    try:
        with Session(engine) as session:
            if session.scalar(text("SELECT EXISTS (SELECT 1 FROM pos.company)")):
                return False
            hashed = hash_password(PASSWORD)
            actors = [
                _company(session, number, code, name, hashed, now)
                for number, code, name in (
                    (1, "10001", "株式会社USENダイニング"),
                    (2, "20002", "株式会社ユウゼンフーズ"),
                )
            ]
            session.commit()
            session.connection().exec_driver_sql("SELECT set_config('app.company_id', '1', false)")
            session.commit()
            _link_first(session, deliverer, actors[0], now)
            return True
    finally:
        engine.dispose()
        dispose(app)


def _company(session: Session, number: int, code: str, name: str, hashed: str, now: datetime) -> Actor:
    session.add(Company(id=number, code=code, name=name))
    session.flush()
    stores = []
    for index, (store_code, store_name) in enumerate(STORES, 1):
        store = Store(company_id=number, code=store_code, name=store_name)
        session.add(store)
        session.flush()
        stores.append(store)
        for position, table in enumerate(TABLES, 1):
            session.add(DiningTable(company_id=number, store_id=store.id, name=table, capacity=4, position=position,
                                    kind="normal"))  # fmt: skip
        session.add(DiningTable(company_id=number, store_id=store.id, name="待機1", capacity=4, position=90,
                                kind="waiting"))  # fmt: skip
        # 予約サイトポイント only where the manual's page (chapter 5) was done: the first store.
        for position, pay in enumerate(PAYMENTS + ("site_points",) * (index == 1), 1):
            group, label = CATALOG[pay]
            session.add(PaymentType(company_id=number, store_id=store.id, group=group, code=pay, name=label,
                                    position=position))  # fmt: skip
        for position, (item, category, price, tax) in enumerate(MENU):
            session.add(MenuItem(company_id=number, store_id=store.id, name=item, category=category, price_yen=price, tax_percent=tax,
                                 position=position))  # fmt: skip
        _shop(session, number, f"{code}-{index}", f"{name} {store_name}", hashed, now)
    people = (
        ("admin", "管理 太郎", "company_admin"),
        ("manager", "店長 花子", "store_manager"),
        ("staff", "接客 次郎", "store_staff"),
    )
    actor: Actor | None = None
    for staff_code, person, role in people:
        staff = Staff(company_id=number, code=staff_code, name=person, role=role, password_hash=hashed)
        session.add(staff)
        session.flush()
        if role != "company_admin":
            session.add(StaffStore(staff_id=staff.id, store_id=stores[0].id, company_id=number))
        actor = actor or Actor(staff.id, uuid.UUID(int=0), number, name, code, person, role)
    assert actor is not None
    return actor


def _shop(session: Session, company_id: int, login: str, name: str, hashed: str, now: datetime) -> None:
    shop = Shop(company_id=company_id, public_id=f"OT{login.replace('-', '')}", name=name)
    session.add(shop)
    session.flush()
    session.add(
        Account(company_id=company_id, shop_id=shop.id, login=login, name="予約担当", password_hash=hashed)
    )
    seats = {}
    # One seat differs from its table in width only, and stays unmapped (T7).
    for position, seat_name in enumerate([*[t for t in TABLES if t != "A7"], "Ａ７"], 1):
        seat = Seat(company_id=company_id, shop_id=shop.id, name=seat_name, capacity=4, position=position)
        session.add(seat)
        session.flush()
        seats[seat_name] = seat.id
    today = business_date(now)
    for row in _bookings(today):
        days, clock_minutes, stay, guest, party, seat_name, kind, site, points = row
        reservation = Reservation(
            company_id=company_id, shop_id=shop.id, kind=kind, status="before", guest_name=guest, party_size=party,
            phone="03-0000-0000" if guest else "", start_at=at_clock(today + timedelta(days=days), clock_minutes),
            stay_minutes=stay, site_name=site, site_points=points,
            course_name="季節のコース" if guest == "USEN花子" else "", remarks="窓側希望" if guest == "ユウゼン" else "",
        )  # fmt: skip
        session.add(reservation)
        session.flush()
        if seat_name:
            session.add(
                ReservationSeat(
                    reservation_id=reservation.id, seat_id=seats[seat_name], company_id=company_id
                )
            )


def _bookings(today: date) -> list[tuple[int, int, int, str, int, str, str, str, int]]:
    """Like the manual's list: day offset, minutes, stay, name, party, seat, kind, site, points."""
    del today
    return [
        (-1, 12 * 60, 60, "前日 次郎", 2, "", "reservation", "", 0),
        (0, 12 * 60, 60, "予約 一郎", 2, "", "reservation", "", 0),
        (0, 12 * 60, 60, "予約 三郎", 2, "", "reservation", "", 0),
        (0, 14 * 60, 30, "", 2, "A4", "block", "", 0),
        (0, 19 * 60, 120, "USEN花子", 2, "T1", "reservation", "食ベログ", 500),
        (0, 20 * 60, 120, "ユウゼン", 2, "", "reservation", "", 0),
        (1, 13 * 60, 60, "テスト", 2, "A3", "reservation", "", 0),
    ]


def _link_first(session: Session, deliverer: Deliverer, actor: Actor, now: datetime) -> None:
    """Link, push and map the first store through the real contract."""
    store = session.scalars(select(Store).where(Store.company_id == 1, Store.code == "001")).one()
    shop = session.scalars(select(Shop).where(Shop.public_id == "OT100011")).one()
    store_id, shop_id = store.id, shop.id
    value = f"OT-DEMO-{new_id().hex[-8:].upper()}"
    session.add(
        ClientId(company_id=1, shop_id=shop_id, value_hash=hash_token(value), hint=value[-4:], pos_company_code="10001",
                 pos_store_code="001", issued_at=now, issued_by="デモ")
    )  # fmt: skip
    session.commit()
    start_link(session, deliverer, actor, store_id, value)
    push_tables(session, deliverer, actor, store_id)
    run_write(session, lambda s: sync_seats(s, shop_id, now))
