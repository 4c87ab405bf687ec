"""Background work: Procrastinate's tables in a schema of their own, and the companies that periodic work visits.

Revision ID: 0007
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COMPANIES = """
CREATE FUNCTION pos.company_ids() RETURNS SETOF bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id FROM pos.company ORDER BY company_id $$;
REVOKE ALL ON FUNCTION pos.company_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pos.company_ids() TO portal_app;
"""

# The published functions name their tables without a schema: each gets the one path it may look along.
RIGHTS = """
DO $do$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'procrastinate'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = procrastinate, pg_catalog', one.name);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO portal_app', one.name);
    END LOOP;
END
$do$;
GRANT USAGE ON SCHEMA procrastinate TO portal_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA procrastinate TO portal_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA procrastinate TO portal_app;
"""


def upgrade() -> None:
    schema = Path(__file__).with_name("0007_procrastinate.sql").read_text(encoding="utf-8")
    # The driver's own cursor: percent signs in the functions are no parameters.
    cursor = op.get_bind().connection.cursor()
    cursor.execute("CREATE SCHEMA procrastinate")
    cursor.execute("SET LOCAL search_path TO procrastinate")
    cursor.execute(schema)
    cursor.execute("SET LOCAL search_path TO DEFAULT")
    cursor.execute(RIGHTS)
    cursor.execute(COMPANIES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
