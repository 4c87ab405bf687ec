"""The newest day-end check of each link and business day.

Revision ID: 0014
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.day_check (
    id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, link_id UUID NOT NULL,
    business_date DATE NOT NULL, checked_at TIMESTAMP WITH TIME ZONE NOT NULL, checked_by UUID,
    compared BIGINT DEFAULT 0 NOT NULL, found BIGINT DEFAULT 0 NOT NULL, body JSONB DEFAULT '[]' NOT NULL, error TEXT,
    CONSTRAINT pk_day_check PRIMARY KEY (id),
    CONSTRAINT uq_day_check_link_id_business_date UNIQUE (link_id, business_date),
    CONSTRAINT fk_day_check_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_day_check_link_id_reservation_link FOREIGN KEY (link_id) REFERENCES pos.reservation_link (id)
);
CREATE INDEX ix_day_check_store_id_business_date ON pos.day_check (store_id, business_date);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLES)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON pos.day_check TO portal_app")
    op.execute("ALTER TABLE pos.day_check ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE pos.day_check FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON pos.day_check TO portal_app"
        f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
    )
    op.execute("CREATE POLICY owner ON pos.day_check TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
