"""What the ledger's list says of walk-ins: start and stay, which its staff may have changed (O11).

Revision ID: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "ALTER TABLE pos.feed_snapshot ADD COLUMN walk_ins JSONB DEFAULT '[]' NOT NULL"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
