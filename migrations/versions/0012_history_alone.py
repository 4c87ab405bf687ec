"""The ledger's history stands by itself: it outlives what it tells of, also where a backup is restored.

Revision ID: 0012
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE ledger.event DROP CONSTRAINT fk_event_reservation_id_reservation")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
