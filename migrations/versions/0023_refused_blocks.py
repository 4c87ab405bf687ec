"""Blocks of the POS that the ledger refused, so that a copy that comes late is refused as well (O14).

Revision ID: 0023
"""

from __future__ import annotations

from alembic import op

from migrations.tenants import guard_tenant_table

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE ledger.block_refusal (
    shop_id UUID NOT NULL, block_id UUID NOT NULL, company_id BIGINT NOT NULL,
    refused_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_block_refusal PRIMARY KEY (shop_id, block_id),
    CONSTRAINT fk_block_refusal_shop_id_shop FOREIGN KEY (shop_id) REFERENCES ledger.shop (id)
)
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TABLE)
    guard_tenant_table("block_refusal", schema="ledger", rights="SELECT, INSERT")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
