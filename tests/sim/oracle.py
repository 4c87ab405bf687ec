"""Where the two systems are held against the rules: at every request that arrives, and when all has settled."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

import httpx
import sqlalchemy as sa

from portal.visits.domain import delivery_state
from portal.visits.models import Visit
from tests.sim.stage import DisagreementError
from tests.sim.trouble import Trouble

MESSAGES = {
    "SEAT_NOT_MAPPED": "M4", "SEAT_MAPPING_LOST": "M4b", "BEFORE_RESERVED_TIME": "M5", "RESERVATION_NOT_FOUND": "M5",
    "RESERVATION_CANCELLED": "M5", "RESERVATION_TAKEN": "M5", "OVERLAP": "M3",
}  # fmt: skip


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def agree(what: str, real: Any, rules: Any) -> None:
    if real == rules:
        return
    if isinstance(real, dict) and isinstance(rules, dict):
        odd = {k for k in real.keys() | rules.keys() if real.get(k) != rules.get(k)}
        real, rules = {k: real.get(k) for k in odd}, {k: rules.get(k) for k in odd}
    raise DisagreementError(f"{what}: {real}, the rules say {rules}")


class Oracle(Trouble):
    last_list: tuple[int, int, httpx.Request] | None = None

    # -- as it arrives

    def arrived(self, request: httpx.Request, answer: httpx.Response) -> None:
        path = request.url.path.split("/api/v1", 1)[1]
        if answer.status_code >= 500:
            raise DisagreementError(f"{request.method} {path} was answered {answer.status_code}")
        if (request.method, path) == ("POST", "/link"):
            return
        token = request.headers["Authorization"].removeprefix("Bearer ")
        known = self.tokens.get(token) == self.model.ledger_link
        agree(f"the token of {request.method} {path} is known", answer.status_code != 401, known)
        body = json.loads(request.content) if request.content else {}
        if not known:
            return
        if path == "/visits":
            self._visits(body["states"], answer)
        elif path.endswith("/change"):
            self._change(path.split("/")[-2], body, answer.status_code)
        elif path.startswith("/blocks/"):
            self._block(path.split("/")[-1], body, answer.status_code)
            if not self.calm and self.rng.random() < 0.25:
                # The network has a second one, and holds it back.
                self.limbo.append(request)
        elif path == "/tables":
            names = self.pushed[self.generation, body["version"]]
            agree("the table list", {self.key_of(t["id"]): t["name"] for t in body["tables"]}, names)
            taken = self.model.books.take_list(body["version"], names)
            agree("a table list was answered", answer.status_code, 200 if taken else 409)
            known, self.last_list = self.last_list, (self.generation, body["version"], request)
            if known is not None and known[0] == self.generation and known[1] < body["version"]:
                # The network has held the one before back until now.
                self.made.wire.arrive(known[2])
                self.last_list = (self.generation, body["version"], request)
        elif (request.method, path) == ("POST", "/mapping"):
            agree("the POS maps without a press: a pair is dropped", "keep=true" in str(request.url), True)
            self.model.books.sync(keep=True)
        elif request.method == "DELETE":
            self.model.ledger_link, self.model.books.mapping = None, {}

    def _visits(self, states: list[dict[str, Any]], answer: httpx.Response) -> None:
        strangers = [
            s["visit_id"] for s in states if self.model.visits[s["visit_id"]].link != self.model.ledger_link
        ]
        if strangers:
            raise DisagreementError(f"visits of another link, or of none, are sent: {strangers}")
        unheard = [s["visit_id"] for s in states if self.model.visits[s["visit_id"]].silent(s["revision"])]
        agree("parties that the ledger is told of, and never was to hear of (P6, O4)", unheard, [])
        agree("a batch was answered", answer.status_code, 200)
        wanted = [
            (s["visit_id"], s["revision"], s["merged_into"] is not None, s["party_size"]) for s in states
        ]
        for visit_id, revision, _, party in wanted:
            visit = self.model.visits[visit_id]
            sizes = visit.told_as.get(revision, set()) | {visit.history[revision - 1].party}
            agree(f"the party size of {visit_id} at {revision}", party in sizes, True)
        said = self.model.deliver(wanted, self.made.clock.now())
        real = {
            r["visit_id"]: (r["code"], moment(r["not_before"]), r["party_size"], r["site_points"],
                            frozenset((moment(o["start_at"]), moment(o["end_at"]), o["seat_name"], o["status"]) for o in r["overlaps"]))
            for r in json.loads(answer.content)["results"]
        }  # fmt: skip
        agree(
            "the ledger answered",
            real,
            {k: (s.code, s.not_before, s.party, s.site, s.overlaps) for k, s in said.items()},
        )

    def heard(self, answer: httpx.Response) -> None:
        """The POS has the ledger's answer, and keeps it."""
        for result in json.loads(answer.content)["results"] if answer.status_code == 200 else []:
            visit = self.model.visits[result["visit_id"]]
            self.model.heard(visit, result["revision"], result["party_size"], result["site_points"])

    def _change(self, row_id: str, body: dict[str, Any], status: int) -> None:
        tables = [self.key_of(t) for t in body["table_ids"]] if body["table_ids"] is not None else None
        wanted = self.model.books.change(
            row_id, body["request_id"], body["revision"], party=body["party_size"], stay=body["stay_minutes"],
            start=moment(body["start_at"]), tables=tables,
        )  # fmt: skip
        agree("a change was answered", status, wanted)

    def _block(self, block_id: str, body: dict[str, Any], status: int) -> None:
        start, end = moment(body["start_at"]), moment(body["end_at"])
        assert start is not None
        assert end is not None
        table, block = self.key_of(body["table_id"]), self.model.blocks[block_id]
        agree("a store that keeps its blocks to itself tells one (O5)", self.send_blocks, True)
        agree("training's block is told (S4)", block.training, False)
        agree("a block was told as it is (O14)", (table, start), (block.table, block.start))
        agree(
            "a block ends with the day, or with itself before (O14)", end in (block.ends, block.until), True
        )
        wanted = self.model.books.block(block_id, table, start, end)
        agree("a block was answered", status, wanted)
        last = end == block.until
        if last:
            block.again = False
        if status == 200:
            block.heard.append(end)
            block.known, block.over = True, block.over or (last and block.ended is not None)

    # -- when all has settled

    def compare(self) -> None:
        self._compare_ledger()
        self._compare_mapping()
        self._compare_visits()
        self._compare_floor()
        self._compare_slips()
        self._compare_notices()
        self._compare_blocks()

    def _all(self, text: str) -> list[Any]:
        return list(self.sql(text, c=self.company))

    def _compare_ledger(self) -> None:
        found = self._all(
            "SELECT r.*, (SELECT array_agg(x.seat_id::text) FROM ledger.reservation_seat x WHERE x.reservation_id = r.id) AS seats"
            " FROM ledger.reservation r WHERE r.company_id = :c AND r.status <> 'withdrawn'"
        )
        key = {str(i): name for name, i in self.seats.items()}
        ids = Counter(f"w-{r.visit_id}" if r.kind == "walk_in" else str(r.id) for r in found)
        agree("rows of the ledger that are there twice", {i for i, n in ids.items() if n > 1}, set())
        real = {
            f"w-{r.visit_id}" if r.kind == "walk_in" else str(r.id): (
                r.kind, r.status, {key[s] for s in r.seats or []}, r.party_size, r.start_at, r.stay_minutes, r.slip_number,
                r.points_used, str(r.visit_id) if r.visit_id else None)
            for r in found
        }  # fmt: skip
        rules = {
            r.id: (r.kind, r.status, set(r.seats), r.party, r.start, r.stay, f"{r.slip:04d}" if r.slip else None,
                   r.points, r.owner)
            for r in self.model.books.rows.values() if r.status != "gone"
        }  # fmt: skip
        agree("the ledger shows", real, rules)

    def _compare_mapping(self) -> None:
        pairs = self._all("SELECT table_id, seat_id FROM ledger.seat_mapping WHERE company_id = :c")
        key = {i: name for name, i in self.seats.items()}
        agree(
            "tables are mapped to seats (T3, T5)",
            {self.key_of(p.table_id): key[p.seat_id] for p in pairs},
            self.model.books.mapping,
        )
        if self.model.link is not None and self.model.link == self.model.ledger_link:
            known = self.accepted.get(self.generation, 0)
            agree(
                "the ledger has the table list that it said yes to (T1)",
                self.model.books.list_version >= known,
                True,
            )

    def _compare_visits(self) -> None:
        places: dict[str, set[str]] = {}
        for row in self._all(
            "SELECT visit_id, table_id FROM pos.occupancy WHERE company_id = :c AND visit_id IS NOT NULL"
            " AND (released_at IS NULL OR at_end)"
        ):
            places.setdefault(str(row.visit_id), set()).add(self.key_of(row.table_id))
        visits = self.session.scalars(sa.select(Visit).where(Visit.company_id == self.company)).all()
        real = {
            str(v.id): (v.kind, str(v.reservation_id) if v.reservation_id else None, v.training, v.status, v.revision,
                        places.get(str(v.id), set()), v.party_size, v.start_at, v.stay_minutes, v.slip_number,
                        v.link_id is not None, str(v.merged_into_id) if v.merged_into_id else None)
            for v in visits
        }  # fmt: skip
        rules = {
            v.id: (v.kind, v.booking, v.training, v.now.status, v.revision, set(v.now.tables), v.now.party, v.now.start,
                   v.now.stay, f"{v.now.slip:04d}" if v.now.slip else None, v.link is not None, v.now.merged_into)
            for v in self.model.visits.values()
        }  # fmt: skip
        agree("the register's visits", real, rules)
        for row in visits:
            visit = self.model.visits[str(row.id)]
            if visit.link is not None and visit.link != self.model.link:
                # A link that ended owes nothing, and who sat then is not to be linked any more (L7).
                fits = {"not_linked"} if visit.now.open else {"not_linked", "linked"}
                agree(
                    f"visit {row.id} of a link that ended is {delivery_state(row)}",
                    delivery_state(row) in fits,
                    True,
                )
            if visit.link is None or visit.link != self.model.link:
                continue
            record = self.model.books.records.get(visit.id)
            code = record.code if record and self.model.told(visit) else None
            state = delivery_state(row)
            said = row.answer_code if state == "refused" else None
            if state == "on_its_way" or said != code:
                raise DisagreementError(f"visit {row.id}: {state} {said}, the rules say {code}")
        training = self._all(
            "SELECT id FROM pos.visit WHERE company_id = :c AND training AND attempted_revision > 0"
        )
        agree("training that reached the ledger (S4)", training, [])

    def _compare_floor(self) -> None:
        held = self._all(
            "SELECT table_id, training, visit_id FROM pos.occupancy WHERE company_id = :c AND released_at IS NULL"
        )
        real = {(self.key_of(h.table_id), h.training): str(h.visit_id or "block") for h in held}
        agree("tables held", real, self.model.held)
        agree("tables held once", len(held), len(real))
        members: dict[Any, set[str]] = {}
        spaces: dict[Any, bool] = {}
        for row in self._all(
            "SELECT group_id, table_id, training FROM pos.table_group_member WHERE company_id = :c AND left_at IS NULL"
        ):
            members.setdefault(row.group_id, set()).add(self.key_of(row.table_id))
            spaces[row.group_id] = row.training
        agree(
            "groups (O8)",
            sorted((spaces[g], sorted(tables)) for g, tables in members.items()),
            sorted((space, sorted(tables)) for space, tables in self.model.groups),
        )

    def _compare_blocks(self) -> None:
        """O14: what ended on the POS has ended in the ledger, unless a person was warned or staff there changed it."""
        missing = [
            i for i, block in self.model.blocks.items()
            if block.again and block.told == self.model.link == self.model.ledger_link and block.ends > self.made.clock.now()
        ]  # fmt: skip
        agree("blocks that a restored ledger was not told again (O14)", missing, [])
        rows = self.model.books.rows
        real = {
            i: rows[i].stay
            for i, block in self.model.blocks.items()
            if block.over and block.told == self.model.link and i in rows and rows[i].revision == 1
        }
        least = {i: self.model.blocks[i] for i in real}
        rules = {
            i: max(1, round((b.until - b.start).total_seconds() / 60)) for i, b in least.items() if b.ended
        }
        agree("blocks that have ended (O14)", real, rules)

    def _compare_slips(self) -> None:
        """Each paid visit has one paid slip with its lines, the others have none; no number twice a day."""
        found = self._all(
            "SELECT s.visit_id, s.number, s.business_date, s.training, s.status,"
            " (SELECT count(*) FROM pos.slip_line l WHERE l.slip_id = s.id) AS lines,"
            " (SELECT count(*) FROM pos.payment p WHERE p.slip_id = s.id) AS payments"
            " FROM pos.slip s WHERE s.company_id = :c AND s.status <> 'voided'"
        )
        real = {
            (str(s.visit_id), s.number, s.business_date, s.training): (s.status, s.lines, s.payments)
            for s in found
        }
        rules = {
            (v.id, v.slip, v.slip_day, v.training): ("open", v.lines, 0) if v.now.status == "seated" else ("paid", v.lines, 1)
            for v in self.model.visits.values() if v.slip is not None and v.now.status != "cancelled"
        }  # fmt: skip
        agree("slips", real, rules)
        agree("slips are there once", len(found), len(real))

    def _compare_notices(self) -> None:
        """Who acted is told what the ledger said, also when it said it late; and nothing that it never said."""
        real = {
            (str(n.visit_id), n.message)
            for n in self._all(
                "SELECT visit_id, message FROM pos.notice WHERE company_id = :c AND message <> 'M6'"
            )
        }
        could = {(visit, MESSAGES[code]) for visit, code in self.model.warned if code in MESSAGES}
        agree("messages of what was never said", real - could, set())
        must = {
            (v.id, MESSAGES[record.code])
            for v in self.model.visits.values() if v.link is not None and v.link == self.model.link
            if (record := self.model.books.records.get(v.id)) and record.code in MESSAGES and self.model.told(v)
        }  # fmt: skip
        agree("messages that nobody got", must - real, set())
        # M5 at seating and, of whoever has paid, at checkout (P5).
        paid = {str(n.visit_id) for n in self._all(
            "SELECT visit_id FROM pos.notice WHERE company_id = :c AND message = 'M5' AND (params ->> 'paid')::bool")}  # fmt: skip
        unsaid = {
            visit for visit, message in must if message == "M5" and self.model.visits[visit].now.slip
        } - paid
        agree("payments of which nobody got M5 (P5)", unsaid, set())
