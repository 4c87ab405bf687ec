"""The reserved points that the ledger named in its answer to a visit (Y2).

Revision ID: 0022
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE pos.visit ADD COLUMN told_points JSONB")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
