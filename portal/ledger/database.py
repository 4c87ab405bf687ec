"""The ledger's own database: nothing in here is shared with the POS side but the helpers."""

from __future__ import annotations

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from portal.database import NAMING, TYPES


class LedgerBase(DeclarativeBase):
    """Tables of the ledger, all in schema ``ledger``."""

    metadata = MetaData(schema="ledger", naming_convention=NAMING)
    type_annotation_map = TYPES


ledger_db = SQLAlchemy(metadata=LedgerBase.metadata)
