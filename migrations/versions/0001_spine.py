"""The spine: schemas, tables, row-level security, rights of the serving roles.

Revision ID: 0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Of no tenant: hashed keys, and one row that names the ledger's epoch.
NO_TENANT = {"pos.login_throttle", "ledger.login_throttle", "ledger.instance"}
APPEND_ONLY = {"pos.audit_entry"}

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

# SECURITY DEFINER: these answer before the company is known, and give away ids only.
FUNCTIONS = """
CREATE FUNCTION pos.company_of_code(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id FROM pos.company WHERE code = wanted $$;

CREATE FUNCTION pos.due_lanes(moment timestamptz, most integer)
RETURNS TABLE (company_id bigint, link_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT lane.company_id, lane.link_id
    FROM pos.delivery_lane AS lane
    JOIN pos.reservation_link AS link ON link.id = lane.link_id AND link.state = 'active'
    WHERE (lane.lease_until IS NULL OR lane.lease_until < moment)
      AND lane.next_try_at <= moment
      AND (
        EXISTS (SELECT 1 FROM pos.visit AS v
                WHERE v.link_id = lane.link_id AND v.answered_revision < v.revision)
        OR (lane.recheck_at <= moment
            AND EXISTS (SELECT 1 FROM pos.visit AS v
                        WHERE v.link_id = lane.link_id AND v.answer_outcome = 'refused'
                          AND v.dropped_at IS NULL))
      )
    ORDER BY lane.next_try_at
    LIMIT most
$$;

CREATE FUNCTION ledger.company_of_login(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id FROM ledger.account WHERE login = wanted $$;

CREATE FUNCTION ledger.link_of_token(wanted text) RETURNS TABLE (company_id bigint, link_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id, id FROM ledger.pos_link WHERE token_hash = wanted AND ended_at IS NULL $$;

CREATE FUNCTION ledger.client_id_of_hash(wanted text) RETURNS TABLE (company_id bigint, client_id_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id, id FROM ledger.client_id WHERE value_hash = wanted $$;

CREATE FUNCTION ledger.company_of_ticket(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id FROM ledger.login_ticket WHERE token_hash = wanted $$;
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA pos")
    op.execute("CREATE SCHEMA ledger")
    tables = Path(__file__).with_name("0001_tables.sql").read_text(encoding="utf-8")
    connection = op.get_bind()
    connection.exec_driver_sql(tables)
    for schema, role in (("pos", "portal_app"), ("ledger", "ledger_app")):
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
        names = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (schema,)
        ).scalars()
        for name in [f"{schema}.{table}" for table in names]:
            rights = "SELECT, INSERT" if name in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
            op.execute(f"GRANT {rights} ON {name} TO {role}")
            if name in NO_TENANT:
                continue
            op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
            op.execute(
                f"CREATE POLICY tenant ON {name} TO {role}"
                f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
            )
            op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
    connection.exec_driver_sql(FUNCTIONS)
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pos, ledger FROM PUBLIC")
    op.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pos TO portal_app")
    op.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ledger TO ledger_app")
    op.execute("INSERT INTO ledger.instance (id, epoch) VALUES (1, gen_random_uuid()::text)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
