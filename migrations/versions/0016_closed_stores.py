"""A store can be closed (閉店) and opened again; what it did stays.

Revision ID: 0016
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# The database decides: of 閉店 and a link that begins at the same moment one waits for the other (L5, L7).
GUARD = """
ALTER TABLE pos.store ADD COLUMN closed_at TIMESTAMP WITH TIME ZONE;

CREATE FUNCTION pos.refuse_link_of_closed_store() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM 1 FROM pos.store WHERE id = NEW.store_id AND closed_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the store is closed' USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_reservation_link_store_open';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER store_open BEFORE INSERT ON pos.reservation_link
    FOR EACH ROW EXECUTE FUNCTION pos.refuse_link_of_closed_store();
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(GUARD)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
