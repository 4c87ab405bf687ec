"""What links that ended before still owed goes to nobody, and who sits is not to be linked any more (L7, D1).

Revision ID: 0019
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

CHANGES = """
UPDATE pos.visit AS v SET answered_revision = v.revision, answer_outcome = 'refused', answer_code = 'LINK_ENDED',
       not_before = NULL, dropped_at = link.ended_at
FROM pos.reservation_link AS link
WHERE link.id = v.link_id AND link.ended_at IS NOT NULL AND (
    (v.dropped_at IS NULL AND (v.answered_revision < v.revision OR v.answer_outcome = 'refused'))
    OR v.status IN ('seated', 'paid')
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
