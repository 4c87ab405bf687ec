"""For new migrations: what every table of a tenant needs. Those that have landed say it themselves and stay as they are.

op.create_table("thing", ..., schema="pos")     # with a company_id
guard_tenant_table("thing")
"""

from __future__ import annotations

from alembic import op

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"
ROLES = {"pos": "portal_app", "ledger": "ledger_app"}


def guard_tenant_table(
    table: str, *, schema: str = "pos", rights: str = "SELECT, INSERT, UPDATE, DELETE"
) -> None:
    """Rights for the serving role of ``schema``, and row-level security, forced: no company means no rows.

    The owner, who migrates and is nobody's session, sees all rows.
    """
    name, role = f"{schema}.{table}", ROLES[schema]
    op.execute(f"GRANT {rights} ON {name} TO {role}")
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {name} TO {role} USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
    )
    op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
