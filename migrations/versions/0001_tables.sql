CREATE SEQUENCE pos.visit_change_seq;

CREATE TABLE pos.audit_entry (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	actor_id UUID, 
	actor_label TEXT NOT NULL, 
	action TEXT NOT NULL, 
	target TEXT NOT NULL, 
	before JSONB, 
	after JSONB, 
	CONSTRAINT pk_audit_entry PRIMARY KEY (id)
);

CREATE INDEX ix_audit_entry_company_id_at ON pos.audit_entry (company_id, at);

CREATE TABLE pos.company (
	company_id BIGSERIAL NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_company PRIMARY KEY (company_id), 
	CONSTRAINT uq_company_code UNIQUE (code)
);

CREATE TABLE pos.login_throttle (
	key_hash TEXT NOT NULL, 
	failures BIGINT NOT NULL, 
	last_failed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	locked_until TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_login_throttle PRIMARY KEY (key_hash)
);

CREATE TABLE pos.operation (
	op_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	terminal_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	result JSONB DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_operation PRIMARY KEY (op_id)
);

CREATE TABLE pos.staff (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	email TEXT DEFAULT '' NOT NULL, 
	role TEXT NOT NULL, 
	password_hash TEXT NOT NULL, 
	active BOOLEAN DEFAULT 'true' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT pk_staff PRIMARY KEY (id), 
	CONSTRAINT uq_staff_company_id_code UNIQUE (company_id, code), 
	CONSTRAINT ck_staff_role CHECK (role IN ('company_admin', 'store_manager', 'store_staff')), 
	CONSTRAINT fk_staff_company_id_company FOREIGN KEY(company_id) REFERENCES pos.company (company_id)
);

CREATE TABLE pos.store (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	day_boundary_minutes BIGINT DEFAULT '300' NOT NULL, 
	default_stay_minutes BIGINT DEFAULT '120' NOT NULL, 
	table_reset BOOLEAN DEFAULT 'false' NOT NULL, 
	offer_time_change BOOLEAN DEFAULT 'false' NOT NULL, 
	send_blocks BOOLEAN DEFAULT 'false' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT pk_store PRIMARY KEY (id), 
	CONSTRAINT uq_store_company_id_code UNIQUE (company_id, code), 
	CONSTRAINT ck_store_day_boundary CHECK (day_boundary_minutes BETWEEN 0 AND 720), 
	CONSTRAINT ck_store_default_stay CHECK (default_stay_minutes BETWEEN 15 AND 1440), 
	CONSTRAINT fk_store_company_id_company FOREIGN KEY(company_id) REFERENCES pos.company (company_id)
);

CREATE INDEX ix_store_company_id ON pos.store (company_id);

CREATE TABLE pos.dining_table (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	capacity BIGINT NOT NULL, 
	position BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	revision BIGINT DEFAULT '1' NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_dining_table PRIMARY KEY (id), 
	CONSTRAINT ck_dining_table_kind CHECK (kind IN ('normal', 'waiting')), 
	CONSTRAINT ck_dining_table_capacity CHECK (capacity BETWEEN 1 AND 999), 
	CONSTRAINT ck_dining_table_name CHECK (name <> ''), 
	CONSTRAINT fk_dining_table_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE UNIQUE INDEX uq_dining_table_name ON pos.dining_table (store_id, name) WHERE deleted_at IS NULL;

CREATE TABLE pos.master_version (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	number BIGINT NOT NULL, 
	digest TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	body JSONB NOT NULL, 
	CONSTRAINT pk_master_version PRIMARY KEY (id), 
	CONSTRAINT uq_master_version_store_id_number UNIQUE (store_id, number), 
	CONSTRAINT fk_master_version_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE TABLE pos.menu_item (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	price_yen BIGINT NOT NULL, 
	tax_percent BIGINT NOT NULL, 
	position BIGINT DEFAULT '0' NOT NULL, 
	active BOOLEAN DEFAULT 'true' NOT NULL, 
	CONSTRAINT pk_menu_item PRIMARY KEY (id), 
	CONSTRAINT uq_menu_item_store_id_name UNIQUE (store_id, name), 
	CONSTRAINT ck_menu_item_price CHECK (price_yen BETWEEN 0 AND 9999999), 
	CONSTRAINT ck_menu_item_tax CHECK (tax_percent IN (8, 10)), 
	CONSTRAINT fk_menu_item_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE TABLE pos.password_reset (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	staff_id UUID NOT NULL, 
	token_hash TEXT NOT NULL, 
	issued_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	issued_by UUID, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	used_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_password_reset PRIMARY KEY (id), 
	CONSTRAINT fk_password_reset_staff_id_staff FOREIGN KEY(staff_id) REFERENCES pos.staff (id) ON DELETE CASCADE, 
	CONSTRAINT uq_password_reset_token_hash UNIQUE (token_hash)
);

CREATE INDEX ix_password_reset_staff_id ON pos.password_reset (staff_id);

CREATE TABLE pos.payment_type (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	"group" TEXT NOT NULL, 
	code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	position BIGINT DEFAULT '0' NOT NULL, 
	active BOOLEAN DEFAULT 'true' NOT NULL, 
	CONSTRAINT pk_payment_type PRIMARY KEY (id), 
	CONSTRAINT uq_payment_type_store_id_code UNIQUE (store_id, code), 
	CONSTRAINT ck_payment_type_group CHECK ("group" IN ('cash', 'credit', 'e_money', 'qr', 'point', 'voucher', 'other')), 
	CONSTRAINT fk_payment_type_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE TABLE pos.reservation_link (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	provider TEXT NOT NULL, 
	state TEXT NOT NULL, 
	external_store_id TEXT, 
	external_store_name TEXT, 
	client_id_hint TEXT DEFAULT '' NOT NULL, 
	access_token_encrypted TEXT, 
	table_list_version BIGINT DEFAULT '0' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	created_by UUID, 
	linked_at TIMESTAMP WITH TIME ZONE, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_reservation_link PRIMARY KEY (id), 
	CONSTRAINT ck_reservation_link_provider CHECK (provider IN ('otoseki', 'usen_smart_reserve', 'ebica_retty', 'tablecheck')), 
	CONSTRAINT ck_reservation_link_state CHECK (state IN ('pending', 'active', 'ended')), 
	CONSTRAINT ck_reservation_link_ended CHECK ((state = 'ended') = (ended_at IS NOT NULL)), 
	CONSTRAINT ck_reservation_link_active_has_store_id CHECK (state <> 'active' OR external_store_id IS NOT NULL), 
	CONSTRAINT fk_reservation_link_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE UNIQUE INDEX uq_reservation_link_one_per_store ON pos.reservation_link (store_id) WHERE ended_at IS NULL;

CREATE TABLE pos.reset_request (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	staff_id UUID NOT NULL, 
	requested_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	handled_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_reset_request PRIMARY KEY (id), 
	CONSTRAINT fk_reset_request_staff_id_staff FOREIGN KEY(staff_id) REFERENCES pos.staff (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX uq_reset_request_open ON pos.reset_request (staff_id) WHERE handled_at IS NULL;

CREATE TABLE pos.slip_counter (
	store_id UUID NOT NULL, 
	business_date DATE NOT NULL, 
	training BOOLEAN NOT NULL, 
	company_id BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	CONSTRAINT pk_slip_counter PRIMARY KEY (store_id, business_date, training), 
	CONSTRAINT fk_slip_counter_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id)
);

CREATE TABLE pos.staff_store (
	staff_id UUID NOT NULL, 
	store_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	CONSTRAINT pk_staff_store PRIMARY KEY (staff_id, store_id), 
	CONSTRAINT fk_staff_store_staff_id_staff FOREIGN KEY(staff_id) REFERENCES pos.staff (id) ON DELETE CASCADE, 
	CONSTRAINT fk_staff_store_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id) ON DELETE CASCADE
);

CREATE INDEX ix_staff_store_store_id ON pos.staff_store (store_id);

CREATE TABLE pos.web_session (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	staff_id UUID NOT NULL, 
	token_hash TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_web_session PRIMARY KEY (id), 
	CONSTRAINT fk_web_session_staff_id_staff FOREIGN KEY(staff_id) REFERENCES pos.staff (id) ON DELETE CASCADE, 
	CONSTRAINT uq_web_session_token_hash UNIQUE (token_hash)
);

CREATE INDEX ix_web_session_staff_id ON pos.web_session (staff_id);

CREATE TABLE pos.delivery_lane (
	link_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	lease_token UUID, 
	lease_until TIMESTAMP WITH TIME ZONE, 
	next_try_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	failures BIGINT DEFAULT '0' NOT NULL, 
	failing_since TIMESTAMP WITH TIME ZONE, 
	last_error TEXT, 
	last_ok_at TIMESTAMP WITH TIME ZONE, 
	epoch TEXT, 
	ledger_version BIGINT, 
	recheck_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT pk_delivery_lane PRIMARY KEY (link_id), 
	CONSTRAINT fk_delivery_lane_link_id_reservation_link FOREIGN KEY(link_id) REFERENCES pos.reservation_link (id)
);

CREATE TABLE pos.feed_snapshot (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	link_id UUID NOT NULL, 
	etag TEXT NOT NULL, 
	epoch TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	fetched_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	body JSONB NOT NULL, 
	CONSTRAINT pk_feed_snapshot PRIMARY KEY (id), 
	CONSTRAINT fk_feed_snapshot_link_id_reservation_link FOREIGN KEY(link_id) REFERENCES pos.reservation_link (id)
);

CREATE INDEX ix_feed_snapshot_link_id_fetched_at ON pos.feed_snapshot (link_id, fetched_at);

CREATE TABLE pos.table_sync (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	link_id UUID NOT NULL, 
	version BIGINT NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	by UUID, 
	outcome TEXT NOT NULL, 
	error TEXT, 
	table_count BIGINT NOT NULL, 
	CONSTRAINT pk_table_sync PRIMARY KEY (id), 
	CONSTRAINT fk_table_sync_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id), 
	CONSTRAINT fk_table_sync_link_id_reservation_link FOREIGN KEY(link_id) REFERENCES pos.reservation_link (id)
);

CREATE INDEX ix_table_sync_store_id_at ON pos.table_sync (store_id, at);

CREATE TABLE pos.terminal (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	training BOOLEAN DEFAULT 'false' NOT NULL, 
	code_hash TEXT, 
	code_expires_at TIMESTAMP WITH TIME ZONE, 
	token_hash TEXT, 
	registered_at TIMESTAMP WITH TIME ZONE, 
	revoked_at TIMESTAMP WITH TIME ZONE, 
	last_seen_at TIMESTAMP WITH TIME ZONE, 
	master_version_id UUID, 
	master_synced_at TIMESTAMP WITH TIME ZONE, 
	feed_snapshot_id UUID, 
	feed_fetched_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_terminal PRIMARY KEY (id), 
	CONSTRAINT uq_terminal_store_id_name UNIQUE (store_id, name), 
	CONSTRAINT ck_terminal_kind CHECK (kind IN ('pos', 'terminal', 'handy', 'kiosk', 'ticket_pay')), 
	CONSTRAINT fk_terminal_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id), 
	CONSTRAINT uq_terminal_token_hash UNIQUE (token_hash), 
	CONSTRAINT fk_terminal_master_version_id_master_version FOREIGN KEY(master_version_id) REFERENCES pos.master_version (id), 
	CONSTRAINT fk_terminal_feed_snapshot_id_feed_snapshot FOREIGN KEY(feed_snapshot_id) REFERENCES pos.feed_snapshot (id) ON DELETE SET NULL
);

CREATE INDEX ix_terminal_code_hash ON pos.terminal (code_hash);

CREATE TABLE pos.opening (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	terminal_id UUID NOT NULL, 
	business_date DATE NOT NULL, 
	opened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	opened_by UUID, 
	closed_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_opening PRIMARY KEY (id), 
	CONSTRAINT uq_opening_terminal_id_business_date UNIQUE (terminal_id, business_date), 
	CONSTRAINT fk_opening_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id), 
	CONSTRAINT fk_opening_terminal_id_terminal FOREIGN KEY(terminal_id) REFERENCES pos.terminal (id)
);

CREATE TABLE pos.visit (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	link_id UUID, 
	training BOOLEAN NOT NULL, 
	kind TEXT NOT NULL, 
	reservation_id UUID, 
	guest_name TEXT DEFAULT '' NOT NULL, 
	memo TEXT DEFAULT '' NOT NULL, 
	site_name TEXT DEFAULT '' NOT NULL, 
	site_points BIGINT DEFAULT '0' NOT NULL, 
	party_size BIGINT NOT NULL, 
	business_date DATE NOT NULL, 
	start_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	stay_minutes BIGINT NOT NULL, 
	seated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	status TEXT NOT NULL, 
	slip_number TEXT, 
	points_used BIGINT DEFAULT '0' NOT NULL, 
	merged_into_id UUID, 
	revision BIGINT DEFAULT '1' NOT NULL, 
	tables_revision BIGINT DEFAULT '1' NOT NULL, 
	party_revision BIGINT DEFAULT '0' NOT NULL, 
	times_revision BIGINT DEFAULT '0' NOT NULL, 
	change_seq BIGINT DEFAULT nextval('pos.visit_change_seq') NOT NULL, 
	changed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	attempted_revision BIGINT DEFAULT '0' NOT NULL, 
	answered_revision BIGINT DEFAULT '0' NOT NULL, 
	answer_outcome TEXT, 
	answer_code TEXT, 
	answered_at TIMESTAMP WITH TIME ZONE, 
	refused_since TIMESTAMP WITH TIME ZONE, 
	not_before TIMESTAMP WITH TIME ZONE, 
	"overlaps" JSONB DEFAULT '[]' NOT NULL, 
	warned_revision BIGINT DEFAULT '0' NOT NULL, 
	dropped_at TIMESTAMP WITH TIME ZONE, 
	dropped_by UUID, 
	opened_terminal_id UUID, 
	last_terminal_id UUID, 
	opened_by UUID, 
	last_changed_by UUID, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT pk_visit PRIMARY KEY (id), 
	CONSTRAINT ck_visit_kind CHECK (kind IN ('reservation', 'walk_in')), 
	CONSTRAINT ck_visit_reservation CHECK ((kind = 'reservation') = (reservation_id IS NOT NULL)), 
	CONSTRAINT ck_visit_status CHECK (status IN ('seated', 'paid', 'left', 'cancelled', 'merged')), 
	CONSTRAINT ck_visit_party_size CHECK (party_size BETWEEN 1 AND 999), 
	CONSTRAINT ck_visit_stay CHECK (stay_minutes BETWEEN 1 AND 2880), 
	CONSTRAINT ck_visit_revisions CHECK (answered_revision <= revision AND attempted_revision <= revision), 
	CONSTRAINT ck_visit_training_has_no_reservation CHECK (NOT training OR reservation_id IS NULL), 
	CONSTRAINT ck_visit_training_has_no_link CHECK (NOT training OR link_id IS NULL), 
	CONSTRAINT fk_visit_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id), 
	CONSTRAINT fk_visit_link_id_reservation_link FOREIGN KEY(link_id) REFERENCES pos.reservation_link (id), 
	CONSTRAINT fk_visit_merged_into_id_visit FOREIGN KEY(merged_into_id) REFERENCES pos.visit (id), 
	CONSTRAINT fk_visit_opened_terminal_id_terminal FOREIGN KEY(opened_terminal_id) REFERENCES pos.terminal (id), 
	CONSTRAINT fk_visit_last_terminal_id_terminal FOREIGN KEY(last_terminal_id) REFERENCES pos.terminal (id)
);

CREATE INDEX ix_visit_owed ON pos.visit (link_id, change_seq) WHERE answered_revision < revision;

CREATE INDEX ix_visit_refused ON pos.visit (link_id) WHERE answer_outcome = 'refused' AND dropped_at IS NULL;

CREATE INDEX ix_visit_store_id_business_date ON pos.visit (store_id, business_date);

CREATE INDEX ix_visit_store_open ON pos.visit (store_id) WHERE status IN ('seated', 'paid');

CREATE UNIQUE INDEX uq_visit_reservation ON pos.visit (link_id, reservation_id) WHERE status != 'cancelled' AND reservation_id IS NOT NULL;

CREATE TABLE pos.notice (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	terminal_id UUID NOT NULL, 
	visit_id UUID NOT NULL, 
	visit_revision BIGINT NOT NULL, 
	message TEXT NOT NULL, 
	params JSONB DEFAULT '{}' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	closed_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_notice PRIMARY KEY (id), 
	CONSTRAINT ck_notice_message CHECK (message IN ('M3', 'M4', 'M4b', 'M5', 'M6')), 
	CONSTRAINT fk_notice_terminal_id_terminal FOREIGN KEY(terminal_id) REFERENCES pos.terminal (id), 
	CONSTRAINT fk_notice_visit_id_visit FOREIGN KEY(visit_id) REFERENCES pos.visit (id)
);

CREATE INDEX ix_notice_open ON pos.notice (terminal_id) WHERE closed_at IS NULL;

CREATE UNIQUE INDEX uq_notice_once ON pos.notice (visit_id, visit_revision, message, terminal_id);

CREATE TABLE pos.occupancy (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	visit_id UUID NOT NULL, 
	table_id UUID NOT NULL, 
	training BOOLEAN NOT NULL, 
	taken_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	released_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_occupancy PRIMARY KEY (id), 
	CONSTRAINT fk_occupancy_visit_id_visit FOREIGN KEY(visit_id) REFERENCES pos.visit (id), 
	CONSTRAINT fk_occupancy_table_id_dining_table FOREIGN KEY(table_id) REFERENCES pos.dining_table (id)
);

CREATE INDEX ix_occupancy_visit_id ON pos.occupancy (visit_id);

CREATE UNIQUE INDEX uq_occupancy_open ON pos.occupancy (table_id, training) WHERE released_at IS NULL;

CREATE TABLE pos.slip (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	store_id UUID NOT NULL, 
	visit_id UUID NOT NULL, 
	business_date DATE NOT NULL, 
	training BOOLEAN NOT NULL, 
	number BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	revision BIGINT DEFAULT '1' NOT NULL, 
	opened_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	paid_at TIMESTAMP WITH TIME ZONE, 
	paid_by UUID, 
	paid_terminal_id UUID, 
	total_yen BIGINT, 
	CONSTRAINT pk_slip PRIMARY KEY (id), 
	CONSTRAINT uq_slip_store_id_business_date_training_number UNIQUE (store_id, business_date, training, number), 
	CONSTRAINT ck_slip_status CHECK (status IN ('open', 'paid', 'voided')), 
	CONSTRAINT ck_slip_paid_at CHECK ((status = 'open') = (paid_at IS NULL)), 
	CONSTRAINT fk_slip_store_id_store FOREIGN KEY(store_id) REFERENCES pos.store (id), 
	CONSTRAINT fk_slip_visit_id_visit FOREIGN KEY(visit_id) REFERENCES pos.visit (id)
);

CREATE INDEX ix_slip_visit_id ON pos.slip (visit_id);

CREATE UNIQUE INDEX uq_slip_visit_open ON pos.slip (visit_id) WHERE status = 'open';

CREATE TABLE pos.payment (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	slip_id UUID NOT NULL, 
	type_code TEXT NOT NULL, 
	type_name TEXT NOT NULL, 
	amount_yen BIGINT NOT NULL, 
	tendered_yen BIGINT, 
	change_yen BIGINT DEFAULT '0' NOT NULL, 
	paid_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT pk_payment PRIMARY KEY (id), 
	CONSTRAINT ck_payment_amount CHECK (amount_yen >= 0), 
	CONSTRAINT ck_payment_change CHECK (tendered_yen IS NULL OR tendered_yen - amount_yen = change_yen), 
	CONSTRAINT ck_payment_change_sign CHECK (change_yen >= 0), 
	CONSTRAINT fk_payment_slip_id_slip FOREIGN KEY(slip_id) REFERENCES pos.slip (id)
);

CREATE INDEX ix_payment_slip_id ON pos.payment (slip_id);

CREATE TABLE pos.slip_line (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	slip_id UUID NOT NULL, 
	menu_item_id UUID, 
	name TEXT NOT NULL, 
	unit_price_yen BIGINT NOT NULL, 
	tax_percent BIGINT NOT NULL, 
	quantity BIGINT NOT NULL, 
	ordered_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ordered_by UUID, 
	CONSTRAINT pk_slip_line PRIMARY KEY (id), 
	CONSTRAINT ck_slip_line_quantity CHECK (quantity BETWEEN 1 AND 999), 
	CONSTRAINT ck_slip_line_unit_price CHECK (unit_price_yen >= 0), 
	CONSTRAINT fk_slip_line_slip_id_slip FOREIGN KEY(slip_id) REFERENCES pos.slip (id), 
	CONSTRAINT fk_slip_line_menu_item_id_menu_item FOREIGN KEY(menu_item_id) REFERENCES pos.menu_item (id)
);

CREATE INDEX ix_slip_line_slip_id ON pos.slip_line (slip_id);

CREATE TABLE ledger.instance (
	id BIGINT NOT NULL, 
	epoch TEXT NOT NULL, 
	CONSTRAINT pk_instance PRIMARY KEY (id), 
	CONSTRAINT ck_instance_single CHECK (id = 1)
);

CREATE TABLE ledger.login_throttle (
	key_hash TEXT NOT NULL, 
	failures BIGINT NOT NULL, 
	last_failed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	locked_until TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_login_throttle PRIMARY KEY (key_hash)
);

CREATE TABLE ledger.login_ticket (
	token_hash TEXT NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	link_id UUID NOT NULL, 
	person TEXT NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	used_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_login_ticket PRIMARY KEY (token_hash)
);

CREATE TABLE ledger.shop (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	public_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	day_boundary_minutes BIGINT DEFAULT '300' NOT NULL, 
	default_stay_minutes BIGINT DEFAULT '120' NOT NULL, 
	version BIGINT DEFAULT '1' NOT NULL, 
	CONSTRAINT pk_shop PRIMARY KEY (id), 
	CONSTRAINT uq_shop_public_id UNIQUE (public_id)
);

CREATE TABLE ledger.account (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	login TEXT NOT NULL, 
	name TEXT NOT NULL, 
	password_hash TEXT NOT NULL, 
	active BOOLEAN DEFAULT 'true' NOT NULL, 
	CONSTRAINT pk_account PRIMARY KEY (id), 
	CONSTRAINT fk_account_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id), 
	CONSTRAINT uq_account_login UNIQUE (login)
);

CREATE TABLE ledger.client_id (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	value_hash TEXT NOT NULL, 
	hint TEXT NOT NULL, 
	pos_company_code TEXT NOT NULL, 
	pos_store_code TEXT NOT NULL, 
	issued_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	issued_by TEXT DEFAULT '' NOT NULL, 
	used_at TIMESTAMP WITH TIME ZONE, 
	used_by_link_id UUID, 
	revoked_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_client_id PRIMARY KEY (id), 
	CONSTRAINT fk_client_id_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id), 
	CONSTRAINT uq_client_id_value_hash UNIQUE (value_hash)
);

CREATE TABLE ledger.reservation (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	status TEXT NOT NULL, 
	guest_name TEXT DEFAULT '' NOT NULL, 
	phone TEXT DEFAULT '' NOT NULL, 
	party_size BIGINT NOT NULL, 
	start_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	stay_minutes BIGINT NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	course_name TEXT DEFAULT '' NOT NULL, 
	course_notes TEXT DEFAULT '' NOT NULL, 
	remarks TEXT DEFAULT '' NOT NULL, 
	site_name TEXT DEFAULT '' NOT NULL, 
	external_id TEXT, 
	site_points BIGINT DEFAULT '0' NOT NULL, 
	points_used BIGINT DEFAULT '0' NOT NULL, 
	slip_number TEXT, 
	visit_id UUID, 
	before_visit JSONB, 
	revision BIGINT DEFAULT '1' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT pk_reservation PRIMARY KEY (id), 
	CONSTRAINT ck_reservation_kind CHECK (kind IN ('reservation', 'block', 'walk_in')), 
	CONSTRAINT ck_reservation_status CHECK (status IN ('before', 'seated', 'left', 'cancelled', 'withdrawn')), 
	CONSTRAINT ck_reservation_party_size CHECK (party_size BETWEEN 0 AND 999), 
	CONSTRAINT ck_reservation_stay CHECK (stay_minutes BETWEEN 1 AND 2880), 
	CONSTRAINT ck_reservation_walk_in_has_visit CHECK (kind <> 'walk_in' OR visit_id IS NOT NULL), 
	CONSTRAINT ck_reservation_block_status CHECK (kind <> 'block' OR status IN ('before', 'cancelled')), 
	CONSTRAINT uq_reservation_shop_id_site_name_external_id UNIQUE (shop_id, site_name, external_id), 
	CONSTRAINT fk_reservation_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id)
);

CREATE INDEX ix_reservation_shop_id_start_at ON ledger.reservation (shop_id, start_at);

CREATE UNIQUE INDEX uq_reservation_visit ON ledger.reservation (visit_id) WHERE visit_id IS NOT NULL;

CREATE TABLE ledger.seat (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	capacity BIGINT NOT NULL, 
	position BIGINT NOT NULL, 
	area TEXT DEFAULT '' NOT NULL, 
	smoking BOOLEAN DEFAULT 'false' NOT NULL, 
	bookable BOOLEAN DEFAULT 'true' NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_seat PRIMARY KEY (id), 
	CONSTRAINT ck_seat_capacity CHECK (capacity BETWEEN 1 AND 999), 
	CONSTRAINT fk_seat_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id)
);

CREATE UNIQUE INDEX uq_seat_name ON ledger.seat (shop_id, name) WHERE deleted_at IS NULL;

CREATE TABLE ledger.account_session (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	account_id UUID, 
	link_id UUID, 
	person TEXT NOT NULL, 
	token_hash TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_account_session PRIMARY KEY (id), 
	CONSTRAINT fk_account_session_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id), 
	CONSTRAINT fk_account_session_account_id_account FOREIGN KEY(account_id) REFERENCES ledger.account (id) ON DELETE CASCADE, 
	CONSTRAINT uq_account_session_token_hash UNIQUE (token_hash)
);

CREATE TABLE ledger.pos_link (
	id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	client_id_id UUID NOT NULL, 
	token_hash TEXT NOT NULL, 
	pos_company_code TEXT NOT NULL, 
	pos_store_code TEXT NOT NULL, 
	pos_store_name TEXT NOT NULL, 
	table_list_version BIGINT DEFAULT '0' NOT NULL, 
	table_list_at TIMESTAMP WITH TIME ZONE, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_pos_link PRIMARY KEY (id), 
	CONSTRAINT fk_pos_link_shop_id_shop FOREIGN KEY(shop_id) REFERENCES ledger.shop (id), 
	CONSTRAINT fk_pos_link_client_id_id_client_id FOREIGN KEY(client_id_id) REFERENCES ledger.client_id (id), 
	CONSTRAINT uq_pos_link_token_hash UNIQUE (token_hash)
);

CREATE UNIQUE INDEX uq_pos_link_shop ON ledger.pos_link (shop_id) WHERE ended_at IS NULL;

CREATE TABLE ledger.reservation_seat (
	reservation_id UUID NOT NULL, 
	seat_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	CONSTRAINT pk_reservation_seat PRIMARY KEY (reservation_id, seat_id), 
	CONSTRAINT fk_reservation_seat_reservation_id_reservation FOREIGN KEY(reservation_id) REFERENCES ledger.reservation (id) ON DELETE CASCADE, 
	CONSTRAINT fk_reservation_seat_seat_id_seat FOREIGN KEY(seat_id) REFERENCES ledger.seat (id)
);

CREATE INDEX ix_reservation_seat_seat_id ON ledger.reservation_seat (seat_id);

CREATE TABLE ledger.pos_table (
	link_id UUID NOT NULL, 
	table_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	capacity BIGINT NOT NULL, 
	position BIGINT NOT NULL, 
	removed_at TIMESTAMP WITH TIME ZONE, 
	mapping_lost_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_pos_table PRIMARY KEY (link_id, table_id), 
	CONSTRAINT fk_pos_table_link_id_pos_link FOREIGN KEY(link_id) REFERENCES ledger.pos_link (id)
);

CREATE TABLE ledger.visit_record (
	visit_id UUID NOT NULL, 
	link_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	reservation_row_id UUID, 
	revision BIGINT NOT NULL, 
	outcome TEXT NOT NULL, 
	code TEXT, 
	state JSONB NOT NULL, 
	tables_revision BIGINT DEFAULT '0' NOT NULL, 
	party_revision BIGINT DEFAULT '0' NOT NULL, 
	times_revision BIGINT DEFAULT '0' NOT NULL, 
	received_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT pk_visit_record PRIMARY KEY (visit_id), 
	CONSTRAINT ck_visit_record_outcome CHECK (outcome IN ('accepted', 'refused')), 
	CONSTRAINT fk_visit_record_link_id_pos_link FOREIGN KEY(link_id) REFERENCES ledger.pos_link (id), 
	CONSTRAINT fk_visit_record_reservation_row_id_reservation FOREIGN KEY(reservation_row_id) REFERENCES ledger.reservation (id)
);

CREATE TABLE ledger.seat_mapping (
	seat_id UUID NOT NULL, 
	link_id UUID NOT NULL, 
	table_id UUID NOT NULL, 
	company_id BIGINT NOT NULL, 
	shop_id UUID NOT NULL, 
	mapped_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT pk_seat_mapping PRIMARY KEY (seat_id), 
	CONSTRAINT uq_seat_mapping_link_id_table_id UNIQUE (link_id, table_id), 
	CONSTRAINT fk_seat_mapping_link_id_table_id_pos_table FOREIGN KEY(link_id, table_id) REFERENCES ledger.pos_table (link_id, table_id), 
	CONSTRAINT fk_seat_mapping_seat_id_seat FOREIGN KEY(seat_id) REFERENCES ledger.seat (id)
);
