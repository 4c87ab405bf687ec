"""How links end, whether they still stand, and booking sites (G4, G5).

Revision ID: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
ALTER TABLE ledger.pos_link ADD COLUMN end_reason TEXT DEFAULT '' NOT NULL;
ALTER TABLE ledger.client_id ADD COLUMN revoked_by TEXT DEFAULT '' NOT NULL;

ALTER TABLE pos.reservation_link ADD COLUMN cut_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE pos.delivery_lane ADD COLUMN checked_at TIMESTAMP WITH TIME ZONE;
CREATE CONSTRAINT TRIGGER push_cut AFTER UPDATE OF cut_at ON pos.reservation_link DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN ((OLD.cut_at IS NULL) <> (NEW.cut_at IS NULL)) EXECUTE FUNCTION pos.bump_store();

CREATE TABLE ledger.site_key (
    id UUID NOT NULL, company_id BIGINT NOT NULL, shop_id UUID NOT NULL, site_name TEXT NOT NULL,
    token_hash TEXT NOT NULL, hint TEXT NOT NULL, issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    issued_by TEXT DEFAULT '' NOT NULL, last_used_at TIMESTAMP WITH TIME ZONE,
    minute_at TIMESTAMP WITH TIME ZONE, minute_count BIGINT DEFAULT 0 NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE, revoked_by TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_site_key PRIMARY KEY (id),
    CONSTRAINT uq_site_key_token_hash UNIQUE (token_hash),
    CONSTRAINT fk_site_key_shop_id_shop FOREIGN KEY (shop_id) REFERENCES ledger.shop (id)
);
CREATE INDEX ix_site_key_shop_id ON ledger.site_key (shop_id);

CREATE TABLE ledger.site_booking (
    id UUID NOT NULL, company_id BIGINT NOT NULL, shop_id UUID NOT NULL, site_name TEXT NOT NULL,
    external_id TEXT NOT NULL, sequence BIGINT NOT NULL, reservation_id UUID, cancelled BOOLEAN NOT NULL,
    received JSONB NOT NULL, received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_site_booking PRIMARY KEY (id),
    CONSTRAINT uq_site_booking_shop_id_site_name_external_id UNIQUE (shop_id, site_name, external_id),
    CONSTRAINT fk_site_booking_shop_id_shop FOREIGN KEY (shop_id) REFERENCES ledger.shop (id),
    CONSTRAINT fk_site_booking_reservation_id_reservation FOREIGN KEY (reservation_id)
        REFERENCES ledger.reservation (id)
);
CREATE INDEX ix_site_booking_reservation_id ON ledger.site_booking (reservation_id);

CREATE FUNCTION ledger.forget_received() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE ledger.site_booking SET received = '{}' WHERE reservation_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_received AFTER UPDATE OF erased_at ON ledger.reservation FOR EACH ROW
    WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION ledger.forget_received();
"""

# SECURITY DEFINER: asked before the company is known; they give away ids only.
FUNCTIONS = """
CREATE FUNCTION ledger.site_of_token(wanted text) RETURNS TABLE (company_id bigint, site_key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$ SELECT company_id, id FROM ledger.site_key WHERE token_hash = wanted AND revoked_at IS NULL $$;

CREATE FUNCTION pos.links_to_check(moment timestamptz, most integer)
RETURNS TABLE (company_id bigint, link_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT lane.company_id, lane.link_id
    FROM pos.delivery_lane AS lane
    JOIN pos.reservation_link AS link ON link.id = lane.link_id AND link.state = 'active'
        AND link.access_token_encrypted IS NOT NULL
    WHERE GREATEST(lane.checked_at, lane.last_ok_at, link.linked_at) < moment - interval '5 minutes'
    ORDER BY GREATEST(lane.checked_at, lane.last_ok_at, link.linked_at)
    LIMIT most
$$;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in ("ledger.site_key", "ledger.site_booking"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO ledger_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO ledger_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
    connection.exec_driver_sql(FUNCTIONS)
    op.execute("REVOKE ALL ON FUNCTION ledger.site_of_token, pos.links_to_check FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION ledger.site_of_token TO ledger_app")
    op.execute("GRANT EXECUTE ON FUNCTION pos.links_to_check TO portal_app")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
