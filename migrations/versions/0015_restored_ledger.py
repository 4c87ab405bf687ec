"""A restored ledger gets its table list again (T1, D1).

Revision ID: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
ALTER TABLE pos.delivery_lane ADD COLUMN tables_owed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN tables_told_at TIMESTAMP WITH TIME ZONE;

CREATE TABLE pos.accepted_table_list (
    link_id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, version BIGINT NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL, body JSONB NOT NULL,
    CONSTRAINT pk_accepted_table_list PRIMARY KEY (link_id),
    CONSTRAINT fk_accepted_table_list_link_id_reservation_link FOREIGN KEY (link_id)
        REFERENCES pos.reservation_link (id)
);
"""

# SECURITY DEFINER: asked before the company is known; they give away ids only.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION pos.due_lanes(moment timestamptz, most integer)
RETURNS TABLE (company_id bigint, link_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT lane.company_id, lane.link_id
    FROM pos.delivery_lane AS lane
    JOIN pos.reservation_link AS link ON link.id = lane.link_id AND link.state = 'active'
    WHERE (lane.lease_until IS NULL OR lane.lease_until < moment)
      AND lane.next_try_at <= moment
      AND (
        lane.tables_owed_at IS NOT NULL
        OR EXISTS (SELECT 1 FROM pos.visit AS v
                WHERE v.link_id = lane.link_id AND v.answered_revision < v.revision)
        OR (lane.recheck_at <= moment
            AND EXISTS (SELECT 1 FROM pos.visit AS v
                        WHERE v.link_id = lane.link_id AND v.answer_outcome = 'refused'
                          AND v.dropped_at IS NULL))
      )
    ORDER BY lane.next_try_at
    LIMIT most
$$;

CREATE FUNCTION pos.restored_mappings(moment timestamptz, most integer)
RETURNS TABLE (company_id bigint, store_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT lane.company_id, lane.store_id
    FROM pos.delivery_lane AS lane
    JOIN pos.reservation_link AS link ON link.id = lane.link_id AND link.state = 'active'
    LEFT JOIN pos.mapping_check AS found ON found.link_id = lane.link_id
    WHERE lane.tables_told_at > moment - interval '1 day' AND lane.tables_owed_at IS NULL
      AND (found.checked_at IS NULL OR found.checked_at < lane.tables_told_at)
    ORDER BY lane.tables_told_at
    LIMIT most
$$;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON pos.accepted_table_list TO portal_app")
    op.execute("ALTER TABLE pos.accepted_table_list ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE pos.accepted_table_list FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON pos.accepted_table_list TO portal_app"
        f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
    )
    op.execute(
        "CREATE POLICY owner ON pos.accepted_table_list TO CURRENT_USER USING (true) WITH CHECK (true)"
    )
    connection.exec_driver_sql(FUNCTIONS)
    op.execute("REVOKE ALL ON FUNCTION pos.restored_mappings FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION pos.restored_mappings TO portal_app")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
