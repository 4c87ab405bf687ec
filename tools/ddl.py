"""Print the DDL of the models, to start a migration from."""

from __future__ import annotations

import sys

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable

import portal.ledger.models
import portal.models  # noqa: F401
from portal.database import Base
from portal.ledger.database import LedgerBase

dialect = postgresql.dialect()
out = []
for metadata in (Base.metadata, LedgerBase.metadata):
    out.extend(
        str(CreateSequence(sequence).compile(dialect=dialect)) for sequence in metadata._sequences.values()
    )
    for table in metadata.sorted_tables:
        out.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        out.extend(
            str(CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda i: str(i.name))
        )
sys.stdout.write(";\n\n".join(out) + ";\n")
