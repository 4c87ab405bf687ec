"""The party size that the register had where the ledger's was taken over (P2).

Revision ID: 0020
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("ALTER TABLE pos.visit ADD COLUMN party_was BIGINT")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
