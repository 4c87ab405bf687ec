"""What a batch of states asks for. Every delivery passes here, so each is one lean statement (decision 0016)."""

from __future__ import annotations

from portal.ledger.reservations.fresh import RECORD, ROW


def _of(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name} AS {alias}_{name}" for name in names)


SEATS = "ARRAY(SELECT seat_id FROM ledger.reservation_seat WHERE reservation_id = shown.id) AS seats"
# The link, its shop's version under the lock that orders all changes of the shop, and the epoch.
ENTER = """
SELECT link.id, link.company_id, link.shop_id, link.pos_store_name, shop.version,
       (SELECT epoch FROM ledger.instance) AS epoch
FROM ledger.pos_link link JOIN ledger.shop shop ON shop.id = link.shop_id
WHERE link.id = %(link)s
FOR UPDATE OF shop
"""
# The records of visits, with their rows and seats. OFFSET keeps the planner from reading all that the shop ever had. Names of our own only, never of a request.
KNOWN = f"""
SELECT {_of("record", RECORD)}, {_of("shown", ROW)}, {SEATS}
FROM ledger.visit_record record
LEFT JOIN LATERAL (
    SELECT * FROM ledger.reservation WHERE id = record.reservation_row_id OFFSET 0
) shown ON shown.shop_id = %(shop)s
WHERE record.visit_id = ANY(%(ids)s)
"""  # noqa: S608
# Reservations that a visit names and that have no record yet.
ASKED = f"""
SELECT {_of("shown", ROW)}, {SEATS}
FROM ledger.reservation shown WHERE shown.id = ANY(%(ids)s) AND shown.shop_id = %(shop)s
"""  # noqa: S608
PLACES = """
SELECT pair.table_id, pair.seat_id, seat.name
FROM ledger.seat_mapping pair JOIN ledger.seat ON seat.id = pair.seat_id
WHERE pair.link_id = %(link)s AND pair.table_id = ANY(%(tables)s)
"""
# Of tables without a seat, those that had one (M4b).
LOST = """
SELECT table_id FROM ledger.pos_table
WHERE link_id = %(link)s AND table_id = ANY(%(tables)s) AND mapping_lost_at IS NOT NULL
"""
ALIVE = "SELECT id FROM ledger.seat WHERE id = ANY(%(ids)s) AND deleted_at IS NULL"
# Parties and blocks on some seats, begun after ``earliest`` and before ``latest`` (P4).
MEETS = """
SELECT other.id, other.kind, other.status, other.start_at, other.stay_minutes, seat.id AS seat_id, seat.name
FROM ledger.reservation other
JOIN ledger.reservation_seat held ON held.reservation_id = other.id
JOIN ledger.seat ON seat.id = held.seat_id
WHERE other.shop_id = %(shop)s AND other.status IN ('before', 'seated') AND held.seat_id = ANY(%(seats)s)
  AND other.start_at < %(latest)s AND other.start_at > %(earliest)s
ORDER BY other.start_at, seat.name
"""
