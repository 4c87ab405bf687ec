"""People at terminals while everything around them dies: what each did, and what must stand of it afterwards.

They know nothing of the program but its screens and the terminals' API. What is written down here (``Party``) is what
the answers said; ``witness`` holds both systems against it.
"""

from __future__ import annotations

import random
import re
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from portal import demo

UNMAPPED = "A7"
MOST_BOOKINGS = 60
PATIENCE = 0.1


class WrongAnswerError(AssertionError):
    """An answer that no rule explains."""


@dataclass
class Booking:
    """A reservation that a guest made at a booking site."""

    name: str
    party: int
    start: datetime
    stay: int
    early: bool
    id: str = ""
    sequence: int = 1
    # Party size and stay in the list that the register showed last.
    listed: set[tuple[str, int]] = field(default_factory=set)
    # What parties said when they sat: a cancelled one leaves it behind where the ledger had heard it (P2, P7).
    heard: set[tuple[str, int]] = field(default_factory=set)


@dataclass
class Party:
    """A party as the answers had it. ``start``: of a walk-in the moments of the first press and of the answer."""

    visit: str
    store: str
    tables: list[str]
    size: int
    start: tuple[datetime, datetime]
    stay: int
    booking: Booking | None = None
    status: str = "seated"
    yen: int = 0
    slip: str | None = None
    # What is still as the list had it: there the ledger keeps its own value (P2), which is another one where the list
    # was of before an earlier party's word.
    as_listed: set[tuple[str, int]] = field(default_factory=set)

    @property
    def said(self) -> set[tuple[str, int]]:
        return {("party", self.size), ("stay", self.stay)}

    def note(self) -> None:
        if self.booking is not None:
            self.booking.heard |= self.said

    @property
    def refused(self) -> str | None:
        """What the ledger has to say of it in the end (M4, M5)."""
        if self.status in ("cancelled", "merged"):
            return None
        if UNMAPPED in self.tables:
            return "SEAT_NOT_MAPPED"
        return "BEFORE_RESERVED_TIME" if self.booking is not None and self.booking.early else None


@dataclass
class Place:
    """What a person needs of a store."""

    code: str
    tables: dict[str, str]  # name -> id
    site_token: str
    menu: dict[str, int] = field(default_factory=dict)  # item id -> yen


def words(page: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).strip()


class Person(threading.Thread):
    """Presses again until an answer comes; each press of one thing carries the same id."""

    def __init__(self, name: str, address: str, ledger: str, place: Place, tables: list[str]) -> None:
        super().__init__(daemon=True, name=name)
        self.rng = random.Random(name)
        self.place, self.tables, self.ledger = place, tables, ledger
        self.http = httpx.Client(base_url=address, timeout=8)
        self.parties: list[Party] = []
        self.bookings: list[Booking] = []
        self.counts: Counter[str] = Counter()
        self.stopping = threading.Event()
        self.failure = ""
        self.odd: list[str] = []

    def run(self) -> None:
        try:
            self.begin()
            while not self.stopping.is_set():
                self.turn()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def begin(self) -> None:
        raise NotImplementedError

    def turn(self) -> None:
        raise NotImplementedError

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Until somebody answers: no connection, a broken one, and 5xx are tried again with the same content."""
        first = True
        while True:
            try:
                answer = self.http.request(method, url, **more)
            except httpx.HTTPError:
                self.counts["no answer"] += 1
            else:
                if answer.status_code < 500:
                    return answer
                if answer.status_code == 500:
                    self.odd.append(
                        f"{datetime.now(UTC):%H:%M:%S} 500 {method} {url}: {words(answer.text)[:300]}"
                    )
                self.counts[str(answer.status_code)] += 1
            if first and method != "GET":
                self.counts["repeated presses"] += 1
            first = False
            time.sleep(PATIENCE)

    def open_parties(self) -> list[Party]:
        return [p for p in self.parties if p.status == "seated"]

    def free_tables(self) -> list[str]:
        taken = {t for p in self.open_parties() for t in p.tables}
        return [t for t in self.tables if t not in taken]

    def book(self) -> Booking:
        """A guest books at a site, which repeats its message until the ledger has it (G5)."""
        early = self.rng.random() < 0.4
        start = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=360 if early else -5)
        name = f"G-{self.name}-{len(self.bookings)}"
        made = Booking(name, self.rng.randrange(1, 7), start, self.rng.choice([60, 90]), early)
        self.say(made)
        self.bookings.append(made)
        return made

    def say(self, made: Booking) -> None:
        """The site tells the ledger of the booking as it is."""
        body = {"sequence": made.sequence, "guest_name": made.name, "party_size": made.party,
                "start_at": made.start.isoformat(), "stay_minutes": made.stay}  # fmt: skip
        answer = self.ask("PUT", f"{self.ledger}/sites/v1/reservations/{made.name}", json=body,
                          headers={"Authorization": f"Bearer {self.place.site_token}"})  # fmt: skip
        if answer.status_code not in (200, 201):
            raise WrongAnswerError(f"booking {answer.status_code} {answer.text[:200]}")

    def rebook(self, made: Booking) -> None:
        """The guest comes with more or fewer, and says so at the site after the register has shown its list (P2)."""
        made.sequence += 1
        made.party = made.party % 6 + 1
        self.say(made)
        self.counts["rebooked"] += 1


class Waiter(Person):
    """A person at a register, by its screens."""

    def __init__(self, *given: Any, code: str, shared: str = "") -> None:
        super().__init__(*given)
        self.code, self.shared, self.token = code, shared, ""

    def get(self, path: str) -> str:
        while True:
            answer = self.ask("GET", path)
            found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
            self.token = found[1] if found else self.token
            if (
                answer.status_code == 303
                and answer.headers["Location"] == "/register/"
                and path != "/register/"
            ):
                self.open_day()
                continue
            return answer.text

    def open_day(self) -> None:
        """TOP says that nobody has opened the business day (S3)."""
        self.get("/register/")
        self.press("/register/open")
        self.counts["開局"] += 1

    def press(self, path: str, **data: str) -> httpx.Response:
        data = {"op_id": str(uuid.uuid4()), **data}
        while True:
            answer = self.ask("POST", path, data={"csrf_token": self.token, **data})
            if (
                answer.status_code == 303
                and answer.headers["Location"] == "/register/"
                and path != "/register/open"
            ):
                self.open_day()
                continue
            return answer

    def done(self, path: str, **data: str) -> str:
        """A press that must be done; where it leads."""
        answer = self.press(path, **data)
        if answer.status_code != 303:
            raise WrongAnswerError(f"{path} {answer.status_code}: {words(answer.text)[-600:]}")
        return str(answer.headers["Location"])

    def field(self, page: str, name: str) -> str:
        found = re.search(rf'name="{name}"[^>]* value="([^"]+)"', page)
        if not found:
            raise WrongAnswerError(f"no {name} on the page")
        return found[1]

    def begin(self) -> None:
        self.get("/login")
        self.press("/login", company_code="10001", staff_code="admin", password=demo.PASSWORD)
        self.get("/register/setup")
        self.press("/register/setup", code=self.code)
        self.open_day()

    def turn(self) -> None:
        free, sitting = self.free_tables(), self.open_parties()
        if self.shared and self.rng.random() < 0.1:
            free = [self.shared]
        if free and (not sitting or self.rng.random() < 0.4):
            self.seat(self.rng.choice(free))
            return
        verb = self.rng.choices(
            ["order", "pay", "change", "move", "cancel", "merge"], [5, 6, 3, 3, 1.5, 1.5]
        )[0]
        party = self.rng.choice(sitting)
        if verb == "pay" and not party.yen:
            verb = "order"
        getattr(self, verb)(party)

    def seat(self, table: str) -> None:
        wish = {"party_size": str(self.rng.randrange(1, 7)), "stay": str(self.rng.choice([45, 60, 90])), "memo": "",
                "then": "order"}  # fmt: skip
        booking = self.waiting() if self.rng.random() < 0.4 else None
        if booking is not None:
            wish |= {"reservation": booking.id}
            if self.rng.random() < 0.5:
                wish |= {"party_size": str(dict(booking.listed)["party"])}
                # Only of one that no party has had: what the ledger makes of its number then is the ledger's.
                if not booking.heard:
                    self.rebook(booking)
        target = f"/register/seat/{self.place.tables[table]}"
        self.get(target + (f"?reservation={booking.id}" if booking else ""))
        first = datetime.now(UTC)
        answer = self.press(target, **wish)
        if answer.status_code == 409 and table == self.shared:
            self.counts["somebody was faster"] += 1
            return
        if answer.status_code != 303:
            raise WrongAnswerError(f"seat {answer.status_code}")
        visit = answer.headers["Location"].rsplit("/", 1)[-1]
        uuid.UUID(visit)
        span = (booking.start, booking.start) if booking else (first, datetime.now(UTC))
        party = Party(
            visit, self.place.code, [table], int(wish["party_size"]), span, int(wish["stay"]), booking
        )
        if booking is not None:
            party.as_listed = booking.listed & party.said
        self.parties.append(party)
        party.note()

    def waiting(self) -> Booking | None:
        """A reservation as 予約確認 shows it, where the ledger can be asked (C5)."""
        seated = {p.booking.name for p in self.parties if p.booking and p.status != "cancelled"}
        open_ones = [b for b in self.bookings if b.name not in seated]
        if not open_ones:
            if len(self.bookings) >= MOST_BOOKINGS:
                return None
            open_ones = [self.book()]
        page = self.get("/register/reservations")
        for booking in open_ones:
            # The button is only there while it is 配席待ち.
            rows = [
                r for r in re.findall(r"<tr\b.*?</tr>", page, re.DOTALL) if f'c-name">{booking.name}<' in r
            ]
            found = rows and re.search(
                r'c-stay">(\d+)分.*c-party">(\d+)人.*id="seat-([0-9a-f-]{36})"', rows[0], re.DOTALL
            )
            if found:
                booking.listed = {("stay", int(found[1])), ("party", int(found[2]))}
                booking.id = found[3]
                return booking
        self.counts["reservation not there yet"] += 1
        return None

    def order(self, party: Party) -> None:
        page = self.get(f"/register/visits/{party.visit}")
        items = [i for i in re.findall(r'name="item_id" value="([^"]+)"', page) if i in self.place.menu]
        item, count = self.rng.choice(items), self.rng.randrange(1, 4)
        self.done(f"/register/visits/{party.visit}/order", item_id=item, quantity=str(count))
        party.yen += self.place.menu[item] * count

    def change(self, party: Party) -> None:
        """P9 after seating."""
        page = self.get(f"/register/visits/{party.visit}/change")
        size, stay = self.rng.randrange(1, 9), self.rng.choice([30, 75, 120])
        self.done(f"/register/visits/{party.visit}/change", party_size=str(size), stay=str(stay),
                  time=self.field(page, "time"), revision=self.field(page, "revision"))  # fmt: skip
        party.size, party.stay = size, stay
        party.as_listed &= party.said
        party.note()

    def move(self, party: Party) -> None:
        free = [t for t in self.free_tables() if t != UNMAPPED]
        if not free:
            return
        table = self.rng.choice(free)
        self.get(f"/register/visits/{party.visit}/move")
        self.done(f"/register/visits/{party.visit}/move", table_id=self.place.tables[table])
        party.tables = [table]

    def cancel(self, party: Party) -> None:
        if party.yen:
            return
        self.get(f"/register/visits/{party.visit}")
        self.done(f"/register/visits/{party.visit}/cancel")
        party.status = "cancelled"

    def merge(self, party: Party) -> None:
        """O1: a walk-in into another party that the ledger takes."""
        others = [p for p in self.open_parties() if p is not party and p.refused is None]
        if party.booking is not None or party.refused or not others:
            return
        target = self.rng.choice(others)
        self.get(f"/register/visits/{party.visit}/merge")
        self.done(f"/register/visits/{party.visit}/merge", target_id=target.visit)
        party.status, target.yen, party.yen = "merged", target.yen + party.yen, 0

    def pay(self, party: Party) -> None:
        """O10, O11: at once or in two parts."""
        base, parts = f"/register/visits/{party.visit}/checkout", 1
        page = self.get(base)
        if self.rng.random() < 0.2:
            parts = 2
            self.done(base + "/split", revision=self.field(page, "revision"), count="2")
            page = self.get(base)
        for number in range(parts):
            paid = self.done(base, revision=self.field(page, "revision"), tendered="99999")
            said = re.search(r"伝票番号 (\d+)", self.get(paid))
            if not said or (party.slip is not None and party.slip != said[1]):
                raise WrongAnswerError(f"slip {party.slip} is now {said and said[1]}")
            party.slip = said[1]
            if number + 1 < parts:
                page = self.get(base)
        party.status = "left"


class Kiosk(Person):
    """A terminal without screens: /api/v1 with an Idempotency-Key a write."""

    def __init__(self, *given: Any, token: str) -> None:
        super().__init__(*given)
        self.http.headers["Authorization"] = f"Bearer {token}"
        self.revisions: dict[str, int] = {}

    def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = uuid.uuid4().hex
        while True:
            answer = self.ask("POST", f"/api/v1{path}", json=body, headers={"Idempotency-Key": key})
            code = answer.json().get("code")
            if code in ("IN_PROGRESS", "STORE_CLOSED"):
                # Closed: somebody at a register opens the new business day.
                self.counts[code] += 1
                time.sleep(PATIENCE)
                continue
            if answer.status_code >= 300:
                raise WrongAnswerError(f"{path} {answer.status_code} {answer.text[:300]}")
            if answer.headers["Idempotency-Replayed"] == "true":
                self.counts["answered from the key"] += 1
            found: dict[str, Any] = answer.json()
            return found

    def begin(self) -> None:
        self.ask("GET", "/api/v1/master")

    def turn(self) -> None:
        table = self.rng.choice(self.tables)
        size, first = self.rng.randrange(1, 5), datetime.now(UTC)
        found = self.write(
            "/visits", {"table_ids": [self.place.tables[table]], "party_size": size, "stay_minutes": 30}
        )
        party = Party(found["id"], self.place.code, [table], size, (first, datetime.now(UTC)), 30)
        self.parties.append(party)
        item = self.rng.choice(list(self.place.menu))
        found = self.write(f"/visits/{party.visit}/orders", {"lines": [{"item_id": item, "quantity": 2}]})
        party.yen = 2 * self.place.menu[item]
        if found["slip"]["due_yen"] != party.yen:
            raise WrongAnswerError(f"{found['slip']['due_yen']} yen due, not {party.yen}")
        done = self.write(f"/visits/{party.visit}/checkout",
                          {"slip_revision": found["slip"]["revision"], "payments": [{"type_code": "cash"}]})  # fmt: skip
        party.status, party.slip = "left", done["slip_number"]
