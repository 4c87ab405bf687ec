"""支払科目種."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class PaymentType(Base):
    """A way to pay that a store accepts (Y1)."""

    __tablename__ = "payment_type"
    __table_args__ = (
        UniqueConstraint("store_id", "code"),
        CheckConstraint(
            "\"group\" IN ('cash', 'credit', 'e_money', 'qr', 'point', 'voucher', 'other')",
            name="group",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    group: Mapped[str]
    code: Mapped[str]
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
