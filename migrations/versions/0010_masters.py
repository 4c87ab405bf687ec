"""店舗, 担当者 with revisions; store templates; files that wait for 「登録」.

Revision ID: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
ALTER TABLE pos.store ADD COLUMN revision BIGINT DEFAULT 1 NOT NULL;
ALTER TABLE pos.staff ADD COLUMN revision BIGINT DEFAULT 1 NOT NULL;

CREATE TABLE pos.store_template (
    id UUID NOT NULL, company_id BIGINT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, body JSONB NOT NULL,
    taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_store_template PRIMARY KEY (id),
    CONSTRAINT uq_store_template_company_id_name UNIQUE (company_id, name)
);

CREATE TABLE pos.import_draft (
    id UUID NOT NULL, company_id BIGINT NOT NULL, kind TEXT NOT NULL, store_id UUID, created_by UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, file_name TEXT NOT NULL, encoding TEXT NOT NULL,
    content TEXT NOT NULL, applied_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_import_draft PRIMARY KEY (id),
    CONSTRAINT fk_import_draft_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id) ON DELETE CASCADE
);
CREATE INDEX ix_import_draft_company_id_created_at ON pos.import_draft (company_id, created_at);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)
    for name in ("pos.store_template", "pos.import_draft"):
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
