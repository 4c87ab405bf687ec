"""The last mapping check of each link.

Revision ID: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.mapping_check (
    link_id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tables BIGINT DEFAULT 0 NOT NULL, mapped BIGINT DEFAULT 0 NOT NULL, seats BIGINT DEFAULT 0 NOT NULL,
    pairs BIGINT DEFAULT 0 NOT NULL, lone_tables BIGINT DEFAULT 0 NOT NULL, lone_seats BIGINT DEFAULT 0 NOT NULL,
    pending BIGINT DEFAULT 0 NOT NULL, changes BIGINT DEFAULT 0 NOT NULL,
    body JSONB DEFAULT '{}' NOT NULL, error TEXT,
    CONSTRAINT pk_mapping_check PRIMARY KEY (link_id),
    CONSTRAINT fk_mapping_check_link_id_reservation_link FOREIGN KEY (link_id) REFERENCES pos.reservation_link (id)
);
CREATE INDEX ix_mapping_check_store_id ON pos.mapping_check (store_id);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)
    for name in ("pos.mapping_check",):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    op.execute("DROP TABLE pos.mapping_check")
