"""The ledger's own people: who may manage accounts, temporary passwords, and the revision of an account.

Revision ID: 0018
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Whoever had an account could do everything so far, and keeps it.
CHANGES = """
ALTER TABLE ledger.account ADD COLUMN role TEXT DEFAULT 'manager' NOT NULL;
ALTER TABLE ledger.account ADD CONSTRAINT ck_account_role CHECK (role IN ('manager', 'staff'));
ALTER TABLE ledger.account ADD COLUMN temporary_until TIMESTAMP WITH TIME ZONE;
ALTER TABLE ledger.account ADD COLUMN revision BIGINT DEFAULT 1 NOT NULL;
CREATE INDEX ix_account_session_account_id_created_at ON ledger.account_session (account_id, created_at);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
