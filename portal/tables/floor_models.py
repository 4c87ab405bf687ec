"""What staff lays over the tables: groups (O8) and blocks (O5)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class TableBlock(Base):
    """テーブルブロック: the table takes nobody until it is released (O5).

    ``sent_to``: the link whose ledger shows it as a block as well (O14); ``ends_at``: when that one ends there.
    """

    __tablename__ = "table_block"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    table_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dining_table.id"))
    training: Mapped[bool]
    reason: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    sent_to: Mapped[uuid.UUID | None]


Index("ix_table_block_open", TableBlock.store_id, postgresql_where=TableBlock.ended_at.is_(None))


class TableGroup(Base):
    """テーブルグループ: tables whose parties belong together, set before or after seating (O8)."""

    __tablename__ = "table_group"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    training: Mapped[bool]
    number: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]
    closed_at: Mapped[datetime | None]


Index(
    "uq_table_group_number",
    TableGroup.store_id,
    TableGroup.training,
    TableGroup.number,
    unique=True,
    postgresql_where=TableGroup.closed_at.is_(None),
)


class TableGroupMember(Base):
    """A table of a group; of one group at a time."""

    __tablename__ = "table_group_member"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    group_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("table_group.id"))
    table_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dining_table.id"))
    training: Mapped[bool]
    left_at: Mapped[datetime | None]


Index(
    "uq_table_group_member_open",
    TableGroupMember.table_id,
    TableGroupMember.training,
    unique=True,
    postgresql_where=TableGroupMember.left_at.is_(None),
)
Index("ix_table_group_member_group_id", TableGroupMember.group_id)
