"""An index for whether a terminal was told of an outage already (M6).

Revision ID: 0021
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "CREATE INDEX ix_notice_unanswered ON pos.notice (terminal_id, created_at) WHERE message = 'M6'"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
