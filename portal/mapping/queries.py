"""The company's mapping at one glance (T7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.mapping.models import MappingCheck
from portal.operations.models import ReservationLink
from portal.stores.models import Store


@dataclass(frozen=True)
class Row:
    """A linked store with its last check, if there was one."""

    store: Store
    link: ReservationLink
    check: MappingCheck | None

    @property
    def bad(self) -> bool:
        return self.check is not None and (self.check.mapped < self.check.tables or self.check.pairs > 0)


def rows(session: Session, stores: Sequence[Store], name: str = "", show: str = "") -> list[Row]:
    """The linked stores among ``stores``, those with problems first."""
    statement = (
        select(Store, ReservationLink, MappingCheck)
        .join(ReservationLink, ReservationLink.store_id == Store.id)
        .outerjoin(MappingCheck, MappingCheck.link_id == ReservationLink.id)
        .where(Store.id.in_([store.id for store in stores]), ReservationLink.state == "active",
               ReservationLink.provider == "otoseki")
    )  # fmt: skip
    if name:
        statement = statement.where(or_(Store.name.icontains(name, autoescape=True), Store.code == name))
    found = [Row(*row) for row in session.execute(statement.order_by(Store.code))]
    if show == "bad":
        found = [row for row in found if row.bad]
    elif show == "unknown":
        found = [row for row in found if row.check is None or row.check.error]
    return sorted(found, key=lambda row: (not row.bad, row.store.code))


@dataclass(frozen=True)
class Totals:
    tables: int
    mapped: int
    pairs: int
    lone_tables: int
    lone_seats: int
    unknown: int

    @property
    def rate(self) -> float | None:
        """Mapped tables in per cent, cut off so that 100 means all; None where nothing was checked."""
        return None if not self.tables else int(self.mapped * 1000 / self.tables) / 10


def totals(found: Sequence[Row]) -> Totals:
    checks = [row.check for row in found if row.check is not None]
    return Totals(
        tables=sum(check.tables for check in checks), mapped=sum(check.mapped for check in checks),
        pairs=sum(check.pairs for check in checks), lone_tables=sum(check.lone_tables for check in checks),
        lone_seats=sum(check.lone_seats for check in checks), unknown=len(found) - len(checks),
    )  # fmt: skip
