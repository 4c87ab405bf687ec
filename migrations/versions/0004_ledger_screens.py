"""The ledger's screens: seats in full, numbers and history of reservations, guests' data.

Revision ID: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = r"""
ALTER TABLE ledger.seat ADD COLUMN combinable BOOLEAN DEFAULT true NOT NULL;
ALTER TABLE ledger.seat ADD COLUMN suspended_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE ledger.shop ADD COLUMN open_minutes BIGINT DEFAULT 600 NOT NULL
    CONSTRAINT ck_shop_open_minutes CHECK (open_minutes BETWEEN 0 AND 1380);

CREATE SEQUENCE ledger.reservation_number START 1001;
ALTER TABLE ledger.reservation ADD COLUMN number BIGINT DEFAULT nextval('ledger.reservation_number') NOT NULL;
ALTER TABLE ledger.reservation ADD CONSTRAINT uq_reservation_shop_id_number UNIQUE (shop_id, number);
ALTER TABLE ledger.reservation ADD COLUMN no_show BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE ledger.reservation ADD COLUMN erased_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE ledger.reservation ADD COLUMN phone_key TEXT DEFAULT '' NOT NULL;
UPDATE ledger.reservation SET phone_key = regexp_replace(
    regexp_replace(translate(phone, '０１２３４５６７８９＋', '0123456789+'), '^\s*\+81', '0'), '[^0-9]', '', 'g')
    WHERE phone <> '';
CREATE INDEX ix_reservation_company_id_phone_key ON ledger.reservation (company_id, phone_key)
    WHERE phone_key <> '';

CREATE TABLE ledger.company_setting (
    company_id BIGINT NOT NULL, retention_days BIGINT DEFAULT 730 NOT NULL,
    CONSTRAINT pk_company_setting PRIMARY KEY (company_id),
    CONSTRAINT ck_company_setting_retention_days CHECK (retention_days BETWEEN 30 AND 3650)
);

CREATE TABLE ledger.event (
    id UUID NOT NULL, company_id BIGINT NOT NULL, shop_id UUID NOT NULL, at TIMESTAMP WITH TIME ZONE NOT NULL,
    person TEXT NOT NULL, source TEXT NOT NULL, action TEXT NOT NULL, reservation_id UUID,
    target TEXT DEFAULT '' NOT NULL, before JSONB, after JSONB, reason TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_event PRIMARY KEY (id),
    CONSTRAINT ck_event_source CHECK (source IN ('staff', 'pos', 'site', 'system')),
    CONSTRAINT fk_event_shop_id_shop FOREIGN KEY (shop_id) REFERENCES ledger.shop (id),
    CONSTRAINT fk_event_reservation_id_reservation FOREIGN KEY (reservation_id) REFERENCES ledger.reservation (id)
);
CREATE INDEX ix_event_reservation_id ON ledger.event (reservation_id);
CREATE INDEX ix_event_shop_id_at ON ledger.event (shop_id, at);
"""

# SECURITY DEFINER: asked before a company is known; gives away numbers of companies only.
FUNCTION = """
CREATE FUNCTION ledger.companies_to_erase(moment timestamptz) RETURNS TABLE (company_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT DISTINCT r.company_id
    FROM ledger.reservation AS r
    LEFT JOIN ledger.company_setting AS s ON s.company_id = r.company_id
    WHERE r.erased_at IS NULL AND (r.guest_name <> '' OR r.phone <> '' OR r.remarks <> '' OR r.course_notes <> '')
      AND r.start_at + make_interval(days => COALESCE(s.retention_days, 730)::int) < moment
$$;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name, rights in (
        ("ledger.company_setting", "SELECT, INSERT, UPDATE"),
        ("ledger.event", "SELECT, INSERT"),
    ):
        op.execute(f"GRANT {rights} ON {name} TO ledger_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO ledger_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute("GRANT USAGE ON SEQUENCE ledger.reservation_number TO ledger_app")
    connection.exec_driver_sql(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION ledger.companies_to_erase FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION ledger.companies_to_erase TO ledger_app")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
