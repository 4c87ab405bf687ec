"""Incidents, who read them, what was sent about them; figures for monitoring.

Revision ID: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SETTING = "NULLIF(current_setting('app.company_id', true), '')::bigint"

TABLES = """
CREATE TABLE pos.alert_setting (
    company_id BIGINT NOT NULL, link_down_minutes BIGINT DEFAULT 15 NOT NULL, refused_minutes BIGINT DEFAULT 60 NOT NULL,
    mapping BOOLEAN DEFAULT true NOT NULL, mail_to TEXT DEFAULT '' NOT NULL, webhook_url TEXT DEFAULT '' NOT NULL,
    webhook_secret_encrypted TEXT, revision BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT pk_alert_setting PRIMARY KEY (company_id),
    CONSTRAINT fk_alert_setting_company_id_company FOREIGN KEY (company_id) REFERENCES pos.company (company_id),
    CONSTRAINT ck_alert_setting_link_down CHECK (link_down_minutes BETWEEN 1 AND 1440),
    CONSTRAINT ck_alert_setting_refused CHECK (refused_minutes BETWEEN 5 AND 10080)
);
CREATE TABLE pos.alert (
    id UUID NOT NULL, company_id BIGINT NOT NULL, store_id UUID NOT NULL, kind TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL, opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE, count BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_alert PRIMARY KEY (id),
    CONSTRAINT fk_alert_store_id_store FOREIGN KEY (store_id) REFERENCES pos.store (id),
    CONSTRAINT ck_alert_kind CHECK (kind IN ('link_down', 'link_cut', 'refused', 'mapping'))
);
CREATE UNIQUE INDEX uq_alert_open ON pos.alert (store_id, kind) WHERE resolved_at IS NULL;
CREATE INDEX ix_alert_company_id_opened_at ON pos.alert (company_id, opened_at);
CREATE TABLE pos.alert_read (
    alert_id UUID NOT NULL, staff_id UUID NOT NULL, company_id BIGINT NOT NULL,
    CONSTRAINT pk_alert_read PRIMARY KEY (alert_id, staff_id),
    CONSTRAINT fk_alert_read_alert_id_alert FOREIGN KEY (alert_id) REFERENCES pos.alert (id) ON DELETE CASCADE,
    CONSTRAINT fk_alert_read_staff_id_staff FOREIGN KEY (staff_id) REFERENCES pos.staff (id) ON DELETE CASCADE
);
CREATE TABLE pos.alert_message (
    id UUID NOT NULL, company_id BIGINT NOT NULL, channel TEXT NOT NULL, state TEXT DEFAULT 'waiting' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, tried_at TIMESTAMP WITH TIME ZONE,
    attempts BIGINT DEFAULT 0 NOT NULL, answer TEXT DEFAULT '' NOT NULL, body JSONB NOT NULL,
    CONSTRAINT pk_alert_message PRIMARY KEY (id),
    CONSTRAINT ck_alert_message_channel CHECK (channel IN ('mail', 'webhook')),
    CONSTRAINT ck_alert_message_state CHECK (state IN ('waiting', 'sent', 'failed'))
);
CREATE INDEX ix_alert_message_company_id_created_at ON pos.alert_message (company_id, created_at);
"""

# Counts only: over all companies, with nothing that names one.
METRICS = """
CREATE FUNCTION pos.metrics(moment timestamptz) RETURNS TABLE (name text, label text, value double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    WITH owed AS (
        SELECT v.link_id, count(*) AS visits, min(v.changed_at) AS oldest
        FROM pos.visit AS v
        JOIN pos.reservation_link AS link ON link.id = v.link_id AND link.state = 'active'
        WHERE v.answered_revision < v.revision
        GROUP BY v.link_id
    )
    SELECT 'lanes_owed', '', count(*)::double precision FROM owed
    UNION ALL SELECT 'visits_owed', '', coalesce(sum(visits), 0) FROM owed
    UNION ALL SELECT 'owed_oldest_seconds', '', coalesce(extract(epoch FROM moment - min(oldest)), 0) FROM owed
    UNION ALL SELECT 'lanes_failing', '', count(*) FROM pos.delivery_lane AS lane
        JOIN pos.reservation_link AS link ON link.id = lane.link_id AND link.state = 'active'
        WHERE lane.failing_since IS NOT NULL
    UNION ALL SELECT 'links', state, count(*) FROM pos.reservation_link GROUP BY state
    UNION ALL SELECT 'visits_refused', coalesce(answer_code, ''), count(*) FROM pos.visit
        WHERE answer_outcome = 'refused' AND dropped_at IS NULL GROUP BY answer_code
    UNION ALL SELECT 'jobs', status::text, count(*) FROM procrastinate.procrastinate_jobs GROUP BY status
    UNION ALL SELECT 'workers', '', count(*) FROM procrastinate.procrastinate_workers
        WHERE last_heartbeat > now() - interval '30 seconds'
    UNION ALL SELECT 'alerts_open', kind, count(*) FROM pos.alert WHERE resolved_at IS NULL GROUP BY kind
$$;
REVOKE ALL ON FUNCTION pos.metrics(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pos.metrics(timestamptz) TO portal_app;
GRANT SELECT ON public.alembic_version TO portal_app;
"""


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(TABLES)
    for name in ("pos.alert_setting", "pos.alert", "pos.alert_read", "pos.alert_message"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO portal_app")
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {name} TO portal_app"
            f" USING (company_id = {SETTING}) WITH CHECK (company_id = {SETTING})"
        )
        op.execute(f"CREATE POLICY owner ON {name} TO CURRENT_USER USING (true) WITH CHECK (true)")
    connection.exec_driver_sql(METRICS)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
