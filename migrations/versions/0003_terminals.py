"""The terminals' API, the print queue, 閉局, bookmarks, and PINs of shared tablets.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.terminal_key (
    id UUID NOT NULL,
    company_id BIGINT NOT NULL,
    store_id UUID NOT NULL,
    terminal_id UUID NOT NULL,
    token_hash TEXT NOT NULL,
    hint TEXT NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    issued_by UUID,
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoked_by UUID,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_terminal_key PRIMARY KEY (id),
    CONSTRAINT fk_terminal_key_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_terminal_key_terminal_id_terminal FOREIGN KEY (terminal_id) REFERENCES pos.terminal (id),
    CONSTRAINT uq_terminal_key_token_hash UNIQUE (token_hash)
);
CREATE UNIQUE INDEX uq_terminal_key_active ON pos.terminal_key (terminal_id) WHERE revoked_at IS NULL;
CREATE TABLE pos.idempotency_record (
    terminal_id UUID NOT NULL,
    key TEXT NOT NULL,
    company_id BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    op_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    claim UUID NOT NULL,
    claimed_until TIMESTAMP WITH TIME ZONE NOT NULL,
    status BIGINT,
    answer JSONB,
    answered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_idempotency_record PRIMARY KEY (terminal_id, key),
    CONSTRAINT ck_idempotency_record_answered CHECK ((status IS NULL) = (answered_at IS NULL)),
    CONSTRAINT fk_idempotency_record_terminal_id_terminal FOREIGN KEY (terminal_id) REFERENCES pos.terminal (id),
    CONSTRAINT uq_idempotency_record_op_id UNIQUE (op_id)
);
CREATE INDEX ix_idempotency_record_created_at ON pos.idempotency_record (company_id, created_at);
CREATE TABLE pos.print_job (
    id UUID NOT NULL,
    company_id BIGINT NOT NULL,
    store_id UUID NOT NULL,
    training BOOLEAN NOT NULL,
    kind TEXT NOT NULL,
    visit_id UUID NOT NULL,
    slip_id UUID NOT NULL,
    number TEXT NOT NULL,
    body JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    printed_at TIMESTAMP WITH TIME ZONE,
    printed_by UUID,
    printed_label TEXT,
    CONSTRAINT pk_print_job PRIMARY KEY (id),
    CONSTRAINT uq_print_job_kind_slip_id UNIQUE (kind, slip_id),
    CONSTRAINT ck_print_job_kind CHECK (kind IN ('ledger_failure')),
    CONSTRAINT ck_print_job_printed CHECK ((printed_at IS NULL) OR (printed_label IS NOT NULL)),
    CONSTRAINT fk_print_job_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_print_job_visit_id_visit FOREIGN KEY (visit_id) REFERENCES pos.visit (id),
    CONSTRAINT fk_print_job_slip_id_slip FOREIGN KEY (slip_id) REFERENCES pos.slip (id)
);
CREATE INDEX ix_print_job_company_id_number ON pos.print_job (company_id, number);
CREATE INDEX ix_print_job_waiting ON pos.print_job (store_id) WHERE printed_at IS NULL;
CREATE TABLE pos.day_close (
    id UUID NOT NULL,
    company_id BIGINT NOT NULL,
    store_id UUID NOT NULL,
    training BOOLEAN NOT NULL,
    business_date DATE NOT NULL,
    terminal_id UUID NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_by UUID NOT NULL,
    closed_label TEXT NOT NULL,
    float_yen BIGINT NOT NULL,
    counted_yen BIGINT NOT NULL,
    expected_yen BIGINT NOT NULL,
    difference_yen BIGINT NOT NULL,
    next_float_yen BIGINT NOT NULL,
    counts JSONB NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    sheet JSONB NOT NULL,
    reopened_at TIMESTAMP WITH TIME ZONE,
    reopened_by UUID,
    CONSTRAINT pk_day_close PRIMARY KEY (id),
    CONSTRAINT ck_day_close_difference CHECK (difference_yen = counted_yen - expected_yen),
    CONSTRAINT ck_day_close_signs CHECK (float_yen >= 0 AND counted_yen >= 0 AND next_float_yen >= 0),
    CONSTRAINT ck_day_close_next_float CHECK (next_float_yen <= counted_yen),
    CONSTRAINT fk_day_close_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_day_close_terminal_id_terminal FOREIGN KEY (terminal_id) REFERENCES pos.terminal (id)
);
CREATE UNIQUE INDEX uq_day_close_standing ON pos.day_close (store_id, business_date, training) WHERE reopened_at IS NULL;
CREATE TABLE pos.cash_movement (
    id UUID NOT NULL,
    company_id BIGINT NOT NULL,
    store_id UUID NOT NULL,
    training BOOLEAN NOT NULL,
    business_date DATE NOT NULL,
    terminal_id UUID NOT NULL,
    amount_yen BIGINT NOT NULL,
    reason TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by UUID NOT NULL,
    by_label TEXT NOT NULL,
    CONSTRAINT pk_cash_movement PRIMARY KEY (id),
    CONSTRAINT ck_cash_movement_amount CHECK (amount_yen <> 0 AND amount_yen BETWEEN -99999999 AND 99999999),
    CONSTRAINT ck_cash_movement_reason CHECK (reason <> ''),
    CONSTRAINT fk_cash_movement_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT fk_cash_movement_terminal_id_terminal FOREIGN KEY (terminal_id) REFERENCES pos.terminal (id)
);
CREATE INDEX ix_cash_movement_day ON pos.cash_movement (store_id, business_date);
CREATE TABLE pos.bookmark (
    id UUID NOT NULL,
    company_id BIGINT NOT NULL,
    store_id UUID NOT NULL,
    title TEXT NOT NULL,
    url TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by UUID,
    CONSTRAINT pk_bookmark PRIMARY KEY (id),
    CONSTRAINT ck_bookmark_title CHECK (title <> '' AND char_length(title) <= 40),
    CONSTRAINT ck_bookmark_url CHECK (url ~ '^https?://' AND char_length(url) <= 2000),
    CONSTRAINT fk_bookmark_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id) ON DELETE CASCADE
);
CREATE INDEX ix_bookmark_store_id ON pos.bookmark (store_id);

ALTER TABLE pos.staff ADD COLUMN pin_hash TEXT;
ALTER TABLE pos.staff ADD COLUMN pin_set_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE pos.web_session ADD COLUMN acting_staff_id UUID
    CONSTRAINT fk_web_session_acting_staff_id_staff REFERENCES pos.staff (id) ON DELETE SET NULL;

-- SECURITY DEFINER: answers before the company is known, and gives away ids only.
CREATE FUNCTION pos.terminal_of_key(wanted text) RETURNS TABLE (company_id bigint, terminal_id uuid, key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT key.company_id, key.terminal_id, key.id
    FROM pos.terminal_key AS key
    JOIN pos.terminal AS terminal ON terminal.id = key.terminal_id AND terminal.revoked_at IS NULL
    WHERE key.token_hash = wanted AND key.revoked_at IS NULL
$$;
REVOKE ALL ON FUNCTION pos.terminal_of_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pos.terminal_of_key(text) TO portal_app;
"""
NAMES = ("terminal_key", "idempotency_record", "print_job", "day_close", "cash_movement", "bookmark")


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in NAMES:
        table = f"pos.{name}"
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO portal_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
