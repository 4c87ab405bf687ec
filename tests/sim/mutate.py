"""Planted faults: one text in one module of the product, replaced at import. See ``make mutants``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from tests.sim.day_mutants import DAY_MUTANTS
from tests.sim.till_mutants import TILL_MUTANTS

APPLY, DELIVERY = "portal.ledger.reservations.apply", "portal.link.delivery"
SERVICE, OPERATIONS, VISITS = "portal.register.service", "portal.register.operations", "portal.visits.service"
PAYMENTS, API, CHANGE = (
    "portal.checkout.payments",
    "portal.ledger.api.views",
    "portal.ledger.reservations.change",
)
ANSWERS, OWED = "portal.link.answers", "portal.link.owed"
DOMAIN, WIRE, BLOCKS = "portal.register.domain", "portal.visits.domain", "portal.register.blocks"
SEATS, RETIRE = "portal.ledger.seats.service", "portal.ledger.seats.retire"

MUTANTS: dict[str, tuple[str, str, str]] = {
    "ignore the revision": (APPLY, "        state.revision < record.revision\n        or (", "        False\n        or ("),
    "answer of an old revision wins": (
        ANSWERS, "AND id = visit_id AND revision = told_revision AND", "AND id = visit_id AND"),
    "value instead of revision in the three-way merge": (
        APPLY, "moved = fresh or state.tables_revision > record.tables_revision",
        'moved = fresh or [str(i) for i in state.table_ids] != (record.state or {}).get("table_ids")'),
    "lane without lease": (
        DELIVERY, " AND (own.lease_until IS NULL OR own.lease_until < %(now)s)", ""),
    "a lease that never ends": (DELIVERY, "LEASE = timedelta(seconds=30)", "LEASE = timedelta(hours=99)"),
    "merge without its target (O1)": (
        APPLY, 'if target is None or target.link_id != work.link.id or target.outcome != "accepted"', "if False"),
    "visit not owned by its row": (APPLY, "row.visit_id not in (None, state.visit_id) or", ""),
    "acknowledged before commit": (
        OWED, "SET attempted_revision = revision WHERE", "SET attempted_revision = revision, answered_revision = revision WHERE"),
    "a link that ended still owes (L7)": ("portal.operations.service", "    give_up_debts(session, link.id, actor_id, now)\n", ""),
    "who sat when a link ended owes the next change (L7)": (VISITS, "over=over is not None", "over=False"),
    "refusal never re-evaluated": (DELIVERY, "own.recheck_at <= %(now)s AND EXISTS", "false AND EXISTS"),
    "refusal judged by the lane's version": (
        DELIVERY, "Visit.answered_version != signals.version", "signals.version != lane.ledger_version"),
    "window by date without epoch": (API, "{epoch(session)}:{shop.version}", "{shop.version}"),
    "epoch ignored": (DELIVERY, "lane.epoch is not None and lane.epoch != epoch", "False"),
    "restored ledger keeps its old table list (T1)": (DELIVERY, "        lane.tables_owed_at = now\n", ""),
    "a pair is dropped without a press (T5)": (SEATS, "mapping is not None and not keep and", "mapping is not None and"),
    "sent, but not marked as sent (P7)": (OWED, "SET attempted_revision = revision WHERE", "SET attempted_revision = attempted_revision WHERE"),
    "op_id ignored": (SERVICE, "        if not claimed:", "        if False:"),
    "one evaluation a batch": (APPLY, "todo = again if progress else []", "todo = []"),
    "stale change taken (P9)": (CHANGE, "if row.revision != wanted.revision:", "if False:"),
    "repeated change applied twice (P9)": (CHANGE, "if row.last_request_id == wanted.request_id and", "if False and"),
    "party size of the POS lost (P2)": (APPLY, "state.party_revision > record.party_revision", "False"),
    "start is taken with the stay (P2)": (APPLY, "state.times_revision > record.times_revision", "(state.stay_revision or 0) > record.stay_revision"),
    "no M5 (P5)": (APPLY, "        and now < row.start_at\n", "        and False\n"),
    "reservation at a waiting table (P6)": (DOMAIN, 'if table.kind == "waiting":\n        raise UserError("予約のお客様は待機テーブルに配席', 'if False:\n        raise UserError("予約のお客様は待機テーブルに配席'),
    "来店取消 not sent (P7)": (SERVICE, "        bump(s, visit, now, terminal_id=device.id, staff_id=actor.id)\n        record(", "        record("),
    "来店取消 keeps the seat (P7)": (APPLY, "        work.held[row.id] = [i for i in wanted if i in alive]\n", ""),
    "merged source keeps its tables (O1)": (OPERATIONS, "        release_tables(s, source, now)\n", ""),
    "reservation as the source of a merge (O1)": (DOMAIN, 'if source_kind == "reservation":', "if False:"),
    "move not told (O2)": (OPERATIONS, "bump(s, visit, now, tables=True,", "bump(s, visit, now,"),
    "reservation to a waiting table (O2)": (DOMAIN, 'if kind == "reservation" and table.kind == "waiting":', "if False:"),
    "move in the ledger undone (O3)": (APPLY, "moved = fresh or state.tables_revision > record.tables_revision", "moved = True"),
    "waiting table shown (O4)": (WIRE, 'if visit.status in ("cancelled", "merged") or waiting_only:', 'if visit.status in ("cancelled", "merged"):'),
    "block holds nothing (O5)": (OPERATIONS, "        s.add(Occupancy(", "        str(Occupancy("),
    "block in the ledger as a guest (O6)": (DOMAIN, 'if item.kind == "block":', "if False:"),
    "paid is left although 解除 is due (O7)": (PAYMENTS, "if device.table_reset:", "if False:"),
    "解除 not sent (O7)": (WIRE, '"left" if visit.status == "left" else "seated"', '"seated"'),
    "two reservations in a group (O8)": (SERVICE, "    if other is not None:\n        raise UserError(\n            \"予約同士", "    if False:\n        raise UserError(\n            \"予約同士"),
    "stay not set at checkout (O11)": (APPLY, 'if state.status == "left" and not (row.status', 'if False and not (row.status'),
    "slip number not sent (O11)": (WIRE, '"slip_number": visit.slip_number', '"slip_number": None'),
    "training reaches the ledger (S4)": (SERVICE, "if device.link_id and not device.training else None", "if device.link_id else None"),
    "back-off without end": (DELIVERY, "min(MOST_BACKOFF, timedelta(", "max(timedelta(hours=99), timedelta("),
    "restored ledger is told of today's last hour only": (DELIVERY, "RESEND = timedelta(days=3)", "RESEND = timedelta(minutes=1)"),
    "what was never told is withdrawn": (VISITS, 'silent = visit.status in ("cancelled", "merged") or waiting_only(session, visit)', "pass"),
    "refusal not asked again when the ledger has changed (D2)": (
        DELIVERY, "Visit.answered_version.is_(None), Visit.answered_version != signals.version,", "Visit.answered_version.is_(None),"),
    "a refusal that nobody reads (D2)": (ANSWERS, "if message and (not told or", "if False and (not told or"),
    "party size of the ledger not taken over (P2)": (ANSWERS, "party_size = coalesce(told_size, party_size)", "party_size = party_size"),
    "party size of the ledger undoes a newer change (P2)": (ANSWERS, "and result.revision == visit.revision:", "and True:"),
    "M5 is not said at checkout (P5)": (ANSWERS, "(paid and not _told_at_checkout(session, visit))", "False"),
    "overlap with a party that follows at once (P4)": (APPLY, "and start < end and other_end > row.start_at:", "and start <= end and other_end >= row.start_at:"),
    "overlap with oneself (P4)": (APPLY, "if other_id != row.id and seat_id in own", "if seat_id in own"),
    "older table list wins (T1)": (SEATS, "if pushed.version < link.table_list_version:", "if False:"),
    "removed table keeps its seat (T5)": (SEATS, "            drop_mapping(session, table, now)\n", ""),
    "renamed seat stays mapped (T5)": (SEATS, "by_id[mapping.table_id].name != seat.name:", "False:"),
    "deleted seat stays mapped (T5)": (RETIRE, "        if table is not None:\n", "        if False:\n"),
    "a lost mapping is not named (M4b)": (SEATS, "    if gone.rowcount:", "    if False:"),
    "merge loses the source's lines (O1)": (OPERATIONS, ".values(slip_id=new.id)", ".values(slip_id=old.id)"),
    "moved-from table stays taken (O2)": (OPERATIONS, "            .values(released_at=now)\n", "            .values(taken_at=now)\n"),
    "block told although it is not to be (O5)": (BLOCKS, "(row.ended_at is None and not wanted)", "False"),
    "group outlives its parties (O8)": (VISITS, "        if sitting is None:\n", "        if False:\n"),
    "block in the ledger does not end (O14)": ("portal.link.blocklist", "row.ended_at or row.ends_at", "row.ends_at"),
    "block of the POS takes another's place (O14)": (CHANGE, "row.stay_minutes = length\n        row.revision", "row.start_at = now\n        row.revision"),
    "a late word opens a block again (O14)": (CHANGE, "length >= row.stay_minutes:", "length == row.stay_minutes:"),
    "a refused block comes back (O14)": (CHANGE, "if session.get(BlockRefusal, (link.shop_id, block_id)) is not None:", "if False:"),
    "a refused block is not remembered (O14)": (CHANGE, "            session.add(\n                BlockRefusal", "            str(\n                BlockRefusal"),
    "a restored ledger is not told of blocks (O14)": ("portal.link.blocklist", "    for block_id, block in blocks:\n", "    for block_id, block in ():\n"),
    "a restored ledger is not told that a block has ended (O14)": (
        "portal.link.blocklist", "or_(runs, TableBlock.ended_at.is_not(None))", "or_(runs, TableBlock.ended_at > now)"),
    "a block whose answer was lost stays in the ledger (O14)": (BLOCKS, "        keep(chosen)\n", "        pass\n"),
    "mapping asked of a party that sits (T6)": (APPLY, "_seats(work, state) if moved else []", "_seats(work, state)"),
}  # fmt: skip
MUTANTS |= TILL_MUTANTS | DAY_MUTANTS


class _Loader(SourceFileLoader):
    old = new = ""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        if self.old not in source:
            raise SystemExit(f"the mutant's text is not in {fullname}: {self.old!r}")
        return compile(source.replace(self.old, self.new, 1), path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, name: str) -> None:
        self.module, self.old, self.new = MUTANTS[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.old, loader.new = self.old, self.new
        spec.loader = loader
        return spec


def install(name: str) -> None:
    """Must run before the product is imported."""
    sys.meta_path.insert(0, _Finder(name))
