"""A reservation has one visit whatever became of the link: also after 連携解除, where there is none (L7, P8).

Revision ID: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Two visits of one reservation could be seated where the store had no link any more: the earlier is marked, not changed.
CHANGES = """
ALTER TABLE pos.visit ADD COLUMN repeats BOOLEAN DEFAULT false NOT NULL;

UPDATE pos.visit AS v SET repeats = true
WHERE v.reservation_id IS NOT NULL AND v.status <> 'cancelled' AND EXISTS (
    SELECT 1 FROM pos.visit AS later
    WHERE later.store_id = v.store_id AND later.reservation_id = v.reservation_id AND later.status <> 'cancelled'
      AND (later.seated_at, later.id) > (v.seated_at, v.id)
);

-- The notices of the change are queued until then, and an index cannot be made over a table with such.
SET CONSTRAINTS ALL IMMEDIATE;

DROP INDEX pos.uq_visit_reservation;
CREATE UNIQUE INDEX uq_visit_reservation ON pos.visit (store_id, reservation_id)
    WHERE status <> 'cancelled' AND reservation_id IS NOT NULL AND repeats IS false;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
