"""Table groups, table blocks, changes before seating; refusals remember the ledger's version.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.table_block (
    id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, table_id UUID NOT NULL,
    training BOOLEAN NOT NULL, reason TEXT DEFAULT '' NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by UUID, ends_at TIMESTAMP WITH TIME ZONE NOT NULL, ended_at TIMESTAMP WITH TIME ZONE,
    sent_to UUID,
    CONSTRAINT pk_table_block PRIMARY KEY (id),
    CONSTRAINT fk_table_block_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_table_block_table_id_dining_table FOREIGN KEY (table_id) REFERENCES pos.dining_table (id)
);
CREATE INDEX ix_table_block_open ON pos.table_block (store_id) WHERE ended_at IS NULL;

CREATE TABLE pos.table_group (
    id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, training BOOLEAN NOT NULL,
    number BIGINT NOT NULL, created_at TIMESTAMP WITH TIME ZONE NOT NULL, created_by UUID,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_table_group PRIMARY KEY (id),
    CONSTRAINT fk_table_group_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id)
);
CREATE UNIQUE INDEX uq_table_group_number ON pos.table_group (store_id, training, number) WHERE closed_at IS NULL;

CREATE TABLE pos.table_group_member (
    id UUID NOT NULL, company_id BIGINT NOT NULL, group_id UUID NOT NULL, table_id UUID NOT NULL,
    training BOOLEAN NOT NULL, left_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_table_group_member PRIMARY KEY (id),
    CONSTRAINT fk_table_group_member_group_id_table_group FOREIGN KEY (group_id) REFERENCES pos.table_group (id),
    CONSTRAINT fk_table_group_member_table_id_dining_table FOREIGN KEY (table_id) REFERENCES pos.dining_table (id)
);
CREATE UNIQUE INDEX uq_table_group_member_open ON pos.table_group_member (table_id, training)
    WHERE left_at IS NULL;
CREATE INDEX ix_table_group_member_group_id ON pos.table_group_member (group_id);

ALTER TABLE pos.occupancy ALTER COLUMN visit_id DROP NOT NULL;
ALTER TABLE pos.occupancy ADD COLUMN block_id UUID
    CONSTRAINT fk_occupancy_block_id_table_block REFERENCES pos.table_block (id);
ALTER TABLE pos.occupancy ADD CONSTRAINT ck_occupancy_holder CHECK ((visit_id IS NULL) <> (block_id IS NULL));

ALTER TABLE pos.occupancy ADD COLUMN at_end BOOLEAN DEFAULT false NOT NULL;
UPDATE pos.occupancy SET at_end = true WHERE released_at IS NOT NULL;

ALTER TABLE pos.visit ADD COLUMN stay_revision BIGINT DEFAULT 0 NOT NULL;
UPDATE pos.visit SET stay_revision = times_revision;
ALTER TABLE pos.visit ADD COLUMN answered_version BIGINT;

ALTER TABLE ledger.visit_record ADD COLUMN stay_revision BIGINT DEFAULT 0 NOT NULL;
UPDATE ledger.visit_record SET stay_revision = times_revision;
ALTER TABLE ledger.reservation ADD COLUMN last_request_id UUID;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in ("pos.table_block", "pos.table_group", "pos.table_group_member"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
