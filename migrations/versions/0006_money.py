"""Discounts, parts, joint bills, points to return; the database holds that lines, discounts and payments agree.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
ALTER TABLE pos.company ADD COLUMN invoice_number TEXT DEFAULT '' NOT NULL;
ALTER TABLE pos.visit ADD COLUMN payment_memo TEXT DEFAULT '' NOT NULL;
ALTER TABLE pos.menu_item ADD COLUMN category TEXT DEFAULT '' NOT NULL;
ALTER TABLE pos.menu_item ADD COLUMN revision BIGINT DEFAULT 1 NOT NULL;
ALTER TABLE pos.payment_type ADD COLUMN revision BIGINT DEFAULT 1 NOT NULL;
ALTER TABLE pos.slip_line ADD COLUMN note TEXT DEFAULT '' NOT NULL;

ALTER TABLE pos.slip
    ADD COLUMN total_10_yen BIGINT, ADD COLUMN total_8_yen BIGINT,
    ADD COLUMN joined_to_id UUID CONSTRAINT fk_slip_joined_to_id_slip REFERENCES pos.slip (id),
    ADD COLUMN draft JSONB DEFAULT '[]' NOT NULL,
    ADD COLUMN points_limit BIGINT, ADD COLUMN points_removed BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN split_count BIGINT, ADD COLUMN split_amount BIGINT,
    ADD COLUMN voided_at TIMESTAMP WITH TIME ZONE, ADD COLUMN voided_by UUID, ADD COLUMN voided_on DATE,
    ADD COLUMN void_reason TEXT DEFAULT '' NOT NULL;
UPDATE pos.slip SET total_8_yen = COALESCE(
    (SELECT sum(l.unit_price_yen * l.quantity) FROM pos.slip_line l WHERE l.slip_id = slip.id AND l.tax_percent = 8), 0)
WHERE total_yen IS NOT NULL;
UPDATE pos.slip SET total_10_yen = total_yen - total_8_yen WHERE total_yen IS NOT NULL;
ALTER TABLE pos.slip
    ADD CONSTRAINT ck_slip_joined CHECK (joined_to_id <> id),
    ADD CONSTRAINT ck_slip_split CHECK (split_count BETWEEN 2 AND 20),
    ADD CONSTRAINT ck_slip_rates
        CHECK (total_8_yen >= 0 AND total_10_yen >= 0 AND total_yen = total_8_yen + total_10_yen);
CREATE INDEX ix_slip_joined_to_id ON pos.slip (joined_to_id) WHERE joined_to_id IS NOT NULL;

CREATE TABLE pos.slip_discount (
    id UUID NOT NULL, company_id BIGINT NOT NULL, slip_id UUID NOT NULL, kind TEXT NOT NULL, value BIGINT NOT NULL,
    amount_yen BIGINT, added_at TIMESTAMP WITH TIME ZONE NOT NULL, added_by UUID,
    CONSTRAINT pk_slip_discount PRIMARY KEY (id),
    CONSTRAINT fk_slip_discount_slip_id_slip FOREIGN KEY (slip_id) REFERENCES pos.slip (id),
    CONSTRAINT ck_slip_discount_kind CHECK (kind = 'yen' OR kind = 'percent' AND value <= 100),
    CONSTRAINT ck_slip_discount_value CHECK (value >= 1),
    CONSTRAINT ck_slip_discount_amount CHECK (amount_yen >= 0)
);
CREATE INDEX ix_slip_discount_slip_id ON pos.slip_discount (slip_id);

CREATE TABLE pos.slip_part (
    id UUID NOT NULL, company_id BIGINT NOT NULL, slip_id UUID NOT NULL, "number" BIGINT NOT NULL, "of" BIGINT NOT NULL,
    amount_yen BIGINT NOT NULL, total_8_yen BIGINT NOT NULL, business_date DATE NOT NULL,
    paid_at TIMESTAMP WITH TIME ZONE NOT NULL, paid_by UUID, terminal_id UUID, reversed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_slip_part PRIMARY KEY (id),
    CONSTRAINT fk_slip_part_slip_id_slip FOREIGN KEY (slip_id) REFERENCES pos.slip (id),
    CONSTRAINT ck_slip_part_number CHECK ("number" BETWEEN 1 AND "of"),
    CONSTRAINT ck_slip_part_amount CHECK (amount_yen >= 0 AND total_8_yen BETWEEN 0 AND amount_yen)
);
CREATE UNIQUE INDEX uq_slip_part_number ON pos.slip_part (slip_id, "number") WHERE reversed_at IS NULL;
INSERT INTO pos.slip_part (id, company_id, slip_id, "number", "of", amount_yen, total_8_yen, business_date, paid_at, paid_by,
                           terminal_id)
SELECT gen_random_uuid(), company_id, id, 1, 1, total_yen, total_8_yen, business_date, paid_at, paid_by, paid_terminal_id
FROM pos.slip WHERE total_yen IS NOT NULL;

ALTER TABLE pos.payment
    ADD COLUMN part_id UUID CONSTRAINT fk_payment_part_id_slip_part REFERENCES pos.slip_part (id),
    ADD COLUMN "group" TEXT DEFAULT 'cash' NOT NULL, ADD COLUMN reversed_at TIMESTAMP WITH TIME ZONE;
UPDATE pos.payment SET part_id = p.id FROM pos.slip_part p WHERE p.slip_id = payment.slip_id;
CREATE INDEX ix_payment_part_id ON pos.payment (part_id);

CREATE TABLE pos.point_return (
    id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, slip_id UUID NOT NULL, visit_id UUID NOT NULL,
    business_date DATE NOT NULL, site_name TEXT NOT NULL, points BIGINT NOT NULL, reason TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, created_by UUID,
    done_at TIMESTAMP WITH TIME ZONE, done_by UUID,
    CONSTRAINT pk_point_return PRIMARY KEY (id),
    CONSTRAINT uq_point_return_slip_id_reason UNIQUE (slip_id, reason),
    CONSTRAINT fk_point_return_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_point_return_slip_id_slip FOREIGN KEY (slip_id) REFERENCES pos.slip (id),
    CONSTRAINT fk_point_return_visit_id_visit FOREIGN KEY (visit_id) REFERENCES pos.visit (id),
    CONSTRAINT ck_point_return_points CHECK (points > 0),
    CONSTRAINT ck_point_return_reason CHECK (reason IN ('removed', 'reduced', 'over_bill', 'voided'))
);
CREATE INDEX ix_point_return_open ON pos.point_return (store_id) WHERE done_at IS NULL;

CREATE TABLE pos.receipt_setting (
    store_id UUID NOT NULL, company_id BIGINT NOT NULL, invoice_number TEXT DEFAULT '' NOT NULL,
    heading TEXT DEFAULT '' NOT NULL, address TEXT DEFAULT '' NOT NULL, phone TEXT DEFAULT '' NOT NULL,
    footer TEXT DEFAULT '' NOT NULL, revision BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT pk_receipt_setting PRIMARY KEY (store_id),
    CONSTRAINT fk_receipt_setting_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id)
);
"""

# Deferred: looked at once everything of the transaction is there. A joint bill is one sum with its parent's slip.
# %% is one % to the driver.
AGREES = """
CREATE FUNCTION pos.slip_agrees() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
    touched uuid[];
    head pos.slip%%ROWTYPE;
    lines bigint;
    discounts bigint;
    payments bigint;
BEGIN
    IF TG_TABLE_NAME = 'slip' THEN
        touched := ARRAY[NEW.id, NEW.joined_to_id];
    ELSIF TG_OP = 'INSERT' THEN
        touched := ARRAY[NEW.slip_id];
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY[OLD.slip_id];
    ELSE
        touched := ARRAY[NEW.slip_id, OLD.slip_id];
    END IF;
    FOR head IN
        SELECT DISTINCT p.* FROM pos.slip s JOIN pos.slip p ON p.id = COALESCE(s.joined_to_id, s.id)
        WHERE s.id = ANY (touched)
    LOOP
        IF EXISTS (
            SELECT 1 FROM pos.slip_part p
            WHERE p.slip_id = head.id AND p.reversed_at IS NULL AND p.amount_yen <> (
                SELECT COALESCE(sum(y.amount_yen), 0) FROM pos.payment y
                WHERE y.part_id = p.id AND y.reversed_at IS NULL)
        ) THEN
            RAISE EXCEPTION 'slip %%: a part and its payments differ', head.id
                USING ERRCODE = 'check_violation', CONSTRAINT = 'slip_agrees';
        END IF;
        CONTINUE WHEN head.total_yen IS NULL;
        SELECT COALESCE(sum(l.unit_price_yen * l.quantity), 0) INTO lines
        FROM pos.slip_line l JOIN pos.slip s ON s.id = l.slip_id WHERE s.id = head.id OR s.joined_to_id = head.id;
        SELECT COALESCE(sum(d.amount_yen), 0) INTO discounts FROM pos.slip_discount d WHERE d.slip_id = head.id;
        SELECT COALESCE(sum(y.amount_yen), 0) INTO payments FROM pos.payment y
        WHERE y.slip_id = head.id AND y.reversed_at IS NULL;
        IF lines - discounts <> head.total_yen OR payments <> head.total_yen THEN
            RAISE EXCEPTION 'slip %%: lines %% - discounts %%, total %%, payments %%',
                head.id, lines, discounts, head.total_yen, payments
                USING ERRCODE = 'check_violation', CONSTRAINT = 'slip_agrees';
        END IF;
        IF EXISTS (SELECT 1 FROM pos.slip s WHERE s.joined_to_id = head.id AND s.status <> head.status) THEN
            RAISE EXCEPTION 'slip %%: a joined slip is not %%', head.id, head.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'slip_agrees';
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION pos.slip_agrees() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER slip_agrees AFTER INSERT OR UPDATE ON pos.slip DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status <> 'open') EXECUTE FUNCTION pos.slip_agrees();
CREATE CONSTRAINT TRIGGER slip_agrees AFTER INSERT OR UPDATE OR DELETE ON pos.slip_line DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pos.slip_agrees();
CREATE CONSTRAINT TRIGGER slip_agrees AFTER INSERT OR UPDATE OR DELETE ON pos.slip_discount DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pos.slip_agrees();
CREATE CONSTRAINT TRIGGER slip_agrees AFTER INSERT OR UPDATE OR DELETE ON pos.slip_part DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pos.slip_agrees();
CREATE CONSTRAINT TRIGGER slip_agrees AFTER INSERT OR UPDATE OR DELETE ON pos.payment DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pos.slip_agrees();
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in ("pos.slip_discount", "pos.slip_part", "pos.point_return", "pos.receipt_setting"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
    connection.exec_driver_sql(AGREES)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
