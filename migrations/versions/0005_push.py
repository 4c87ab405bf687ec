"""Versions that tell open screens of a change: NOTIFY in the transaction that made it (G2, design.md §3).

The ledger's shop has a version already; a store of the POS gets one. A deferred trigger raises it just before
the commit, so that the row's lock is held for a moment only and once a transaction. What a stream stands on (login,
person, terminal) says so when it ends.

Revision ID: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.store_version (
    store_id UUID NOT NULL, company_id BIGINT NOT NULL, version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT pk_store_version PRIMARY KEY (store_id),
    CONSTRAINT fk_store_version_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id)
);

CREATE FUNCTION pos.bump_store() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    changed record;
    store uuid;
    raised bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    IF TG_TABLE_NAME = 'table_group_member' THEN
        SELECT store_id INTO store FROM pos.table_group WHERE id = changed.group_id;
    ELSE
        store := changed.store_id;
    END IF;
    IF store IS NULL OR current_setting('app.bumped', true) = store::text THEN RETURN NULL; END IF;
    PERFORM set_config('app.bumped', store::text, true);
    INSERT INTO pos.store_version AS known (store_id, company_id, version) VALUES (store, changed.company_id, 2)
    ON CONFLICT (store_id) DO UPDATE SET version = known.version + 1 RETURNING version INTO raised;
    PERFORM pg_notify('pos_store', store::text || ' ' || raised::text);
    RETURN NULL;
END $$;

CREATE FUNCTION pos.notify_gone() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_TABLE_NAME = 'staff_store' THEN PERFORM pg_notify('push_gone', OLD.staff_id::text);
    ELSE PERFORM pg_notify('push_gone', OLD.id::text); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION ledger.notify_shop() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('ledger_shop', NEW.id::text || ' ' || NEW.version::text);
    RETURN NULL;
END $$;

CREATE FUNCTION ledger.notify_gone() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('push_gone', OLD.id::text);
    RETURN NULL;
END $$;

CREATE TRIGGER push AFTER UPDATE OF version ON ledger.shop FOR EACH ROW
    WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION ledger.notify_shop();
CREATE TRIGGER push_gone AFTER UPDATE OF ended_at ON ledger.account_session FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION ledger.notify_gone();
CREATE TRIGGER push_gone AFTER UPDATE OF active ON ledger.account FOR EACH ROW
    WHEN (OLD.active AND NOT NEW.active) EXECUTE FUNCTION ledger.notify_gone();
CREATE TRIGGER push_gone AFTER UPDATE OF ended_at ON pos.web_session FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION pos.notify_gone();
CREATE TRIGGER push_gone AFTER UPDATE OF active, role ON pos.staff FOR EACH ROW
    WHEN (OLD.active IS DISTINCT FROM NEW.active OR OLD.role IS DISTINCT FROM NEW.role)
    EXECUTE FUNCTION pos.notify_gone();
CREATE TRIGGER push_gone AFTER DELETE ON pos.staff_store FOR EACH ROW EXECUTE FUNCTION pos.notify_gone();
CREATE TRIGGER push_gone AFTER UPDATE OF token_hash, revoked_at ON pos.terminal FOR EACH ROW
    WHEN (OLD.token_hash IS DISTINCT FROM NEW.token_hash OR OLD.revoked_at IS DISTINCT FROM NEW.revoked_at)
    EXECUTE FUNCTION pos.notify_gone();
"""

EVERY_CHANGE = ("visit", "occupancy", "table_block", "table_group", "table_group_member")
SOME_CHANGES = {
    "notice": "AFTER INSERT",
    "delivery_lane": "AFTER UPDATE OF failing_since",
    "reservation_link": "AFTER UPDATE OF state",
}
CONDITIONS = {
    "delivery_lane": "WHEN ((OLD.failing_since IS NULL) <> (NEW.failing_since IS NULL))",
    "reservation_link": "WHEN (OLD.state <> NEW.state)",
}


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in EVERY_CHANGE:
        op.execute(
            f"CREATE CONSTRAINT TRIGGER push AFTER INSERT OR UPDATE OR DELETE ON pos.{name}"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pos.bump_store()"
        )
    for name, moment in SOME_CHANGES.items():
        op.execute(
            f"CREATE CONSTRAINT TRIGGER push {moment} ON pos.{name} DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW {CONDITIONS.get(name, '')} EXECUTE FUNCTION pos.bump_store()"
        )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON pos.store_version TO portal_app")
    op.execute("ALTER TABLE pos.store_version ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE pos.store_version FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON pos.store_version TO portal_app"
        f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
    )
    op.execute("CREATE POLICY owner ON pos.store_version TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
