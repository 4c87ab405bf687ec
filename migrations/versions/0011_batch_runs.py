"""Runs over many stores, row by row.

Revision ID: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.batch_run (
    id UUID NOT NULL, company_id BIGINT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
    source TEXT DEFAULT '' NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL, created_by UUID,
    created_label TEXT DEFAULT '' NOT NULL, started_at TIMESTAMP WITH TIME ZONE, ended_at TIMESTAMP WITH TIME ZONE,
    trouble TEXT,
    CONSTRAINT pk_batch_run PRIMARY KEY (id),
    CONSTRAINT ck_batch_run_kind CHECK (kind IN ('link', 'prepare', 'mapping', 'unlink', 'day_check')),
    CONSTRAINT ck_batch_run_state CHECK (state IN ('draft', 'running', 'paused', 'done', 'cancelled'))
);
CREATE INDEX ix_batch_run_company_id_created_at ON pos.batch_run (company_id, created_at);

CREATE TABLE pos.batch_row (
    id UUID NOT NULL, run_id UUID NOT NULL, company_id BIGINT NOT NULL, position BIGINT NOT NULL,
    line BIGINT NOT NULL, store_id UUID, store_code TEXT NOT NULL, store_name TEXT DEFAULT '' NOT NULL,
    client_id_sealed TEXT, client_id_hint TEXT DEFAULT '' NOT NULL, link_id UUID NOT NULL, state TEXT NOT NULL,
    code TEXT DEFAULT '' NOT NULL, message TEXT DEFAULT '' NOT NULL, attempts BIGINT DEFAULT 0 NOT NULL,
    claim_id UUID, claimed_at TIMESTAMP WITH TIME ZONE, finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_batch_row PRIMARY KEY (id),
    CONSTRAINT uq_batch_row_run_id_position UNIQUE (run_id, position),
    CONSTRAINT ck_batch_row_state CHECK (state IN ('skipped', 'waiting', 'doing', 'done', 'failed', 'undone')),
    CONSTRAINT fk_batch_row_run_id_batch_run FOREIGN KEY (run_id) REFERENCES pos.batch_run (id) ON DELETE CASCADE,
    CONSTRAINT fk_batch_row_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id)
);
CREATE INDEX ix_batch_row_open ON pos.batch_row (run_id, position) WHERE state IN ('waiting', 'doing');
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)
    for name in ("pos.batch_run", "pos.batch_row"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
