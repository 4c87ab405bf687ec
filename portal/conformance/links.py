"""Cases of the link, of versions and of the table list."""

from __future__ import annotations

import uuid

from portal.conformance.bench import SEATS, UNMAPPED, Bench, NotPreparedError, case, ensure
from portal.link import contract as wire


def _request(b: Bench, client_id: str, link_id: uuid.UUID) -> wire.LinkRequest:
    return wire.LinkRequest(
        link_id=link_id, client_id=client_id, company_code=b.company_code, store_code=b.store_code, store_name="適合試験店",
    )  # fmt: skip


@case("L1", "an unknown Client id is refused with CLIENT_ID_UNKNOWN")
def unknown_client_id(b: Bench) -> None:
    answer = b.call("POST", "/link", _request(b, "OT-UNKNOWN-UNKNOWN", uuid.uuid4()), token="")
    b.refused(answer, 404, "CLIENT_ID_UNKNOWN")


@case("L2", "another store's Client id is refused with CLIENT_ID_OTHER_STORE, and stays good for its own")
def other_store(b: Bench) -> None:
    wrong = _request(b, b.client_id, uuid.uuid4()).model_copy(update={"store_code": "no-such-store"})
    b.refused(b.call("POST", "/link", wrong, token=""), 409, "CLIENT_ID_OTHER_STORE")


@case("L3", "a Client id is traded for a token that works")
def link(b: Bench) -> None:
    found = b.read(
        b.call("POST", "/link", _request(b, b.client_id, b.link_id), token=""), wire.LinkAnswer, 201
    )
    b.token = found.access_token
    ensure(b.signals().epoch == found.epoch, "epoch of POST /link and GET /signals differ")


@case("L4", "the same link asking again gets a new token; the old one is dead")
def link_again(b: Bench) -> None:
    old = b.token
    found = b.read(
        b.call("POST", "/link", _request(b, b.client_id, b.link_id), token=""), wire.LinkAnswer, 201
    )
    b.token = found.access_token
    b.signals()
    if old != b.token:
        b.refused(b.call("GET", "/signals", token=old), 401, "UNAUTHORIZED")


@case("L5", "a used Client id is refused for another link with CLIENT_ID_USED")
def used_client_id(b: Bench) -> None:
    answer = b.call("POST", "/link", _request(b, b.client_id, uuid.uuid4()), token="")
    b.refused(answer, 409, "CLIENT_ID_USED")


@case("L6", "without a token, or with a wrong one: 401 UNAUTHORIZED")
def no_token(b: Bench) -> None:
    for token in ("", "wrong"):
        b.refused(b.call("GET", "/signals", token=token), 401, "UNAUTHORIZED")
        b.refused(b.call("POST", "/visits", {"states": []}, token=token), 401, "UNAUTHORIZED")


@case("V1", "another major version is refused with VERSION_UNSUPPORTED, a newer minor one is served")
def versions(b: Bench) -> None:
    major = int(wire.CONTRACT_VERSION.split(".")[0])
    answer = b.call("GET", "/signals", headers={wire.VERSION_HEADER: f"{major + 1}.0"})
    b.refused(answer, 400, "VERSION_UNSUPPORTED")
    newer = b.call("GET", "/signals", headers={wire.VERSION_HEADER: f"{major}.99"})
    b.read(newer, wire.Signals)
    ensure(newer.headers.get(wire.VERSION_HEADER), f"answers carry {wire.VERSION_HEADER}")


@case("V2", "fields that the ledger does not know are ignored")
def unknown_fields(b: Bench) -> None:
    b.read(b.call("POST", "/tickets", {"person": "適合", "later": {"a": [1]}}), wire.TicketAnswer, 201)


@case("E1", "unreadable bodies: 422 INVALID_REQUEST as a Problem")
def garbage(b: Bench) -> None:
    for body in (b"", b"{", b"[]", b'{"states": 1}', b'{"states": []}', b"\xff\x00"):
        b.refused(b.call("POST", "/visits", body), 422, "INVALID_REQUEST")


@case("E2", "an unknown path: 404 NOT_FOUND as a Problem")
def unknown_path(b: Bench) -> None:
    b.refused(b.call("GET", "/no-such-path"), 404, "NOT_FOUND")


@case("T1", "the whole table list is taken, and counted")
def tables(b: Bench) -> None:
    b.tables = {name: uuid.uuid4() for name in (*SEATS, UNMAPPED)}
    found = b.read(b.push(b.tables), wire.TableListAnswer)
    ensure(
        (found.version, found.count) == (b.list_version, 4), f"version 1 and count 4 expected, {found} came"
    )


@case("T2", "the same list again changes nothing; an older one is refused with TABLE_LIST_OUTDATED")
def outdated(b: Bench) -> None:
    b.list_version += 1
    b.read(b.push(b.tables, b.list_version), wire.TableListAnswer)
    again = b.read(b.push(b.tables, b.list_version), wire.TableListAnswer)
    ensure((again.added, again.renamed, again.removed) == (0, 0, 0), f"no change expected, {again} came")
    b.refused(b.push({}, b.list_version - 1), 409, "TABLE_LIST_OUTDATED")


@case("T3", "a list with a mistake in it changes nothing at all")
def all_or_nothing(b: Bench) -> None:
    before = b.signals()
    good = {"id": str(uuid.uuid4()), "name": "新規", "capacity": 2}
    body = {"version": b.list_version + 1, "tables": [good, {**good, "id": str(uuid.uuid4()), "capacity": 0}]}
    b.refused(b.call("PUT", "/tables", body), 422, "INVALID_REQUEST")
    after = b.signals()
    ensure(after.version == before.version, "the version rose although the list was refused")
    found = b.read(b.push(b.tables, b.list_version), wire.TableListAnswer)
    ensure((found.added, found.removed) == (0, 0), "a part of the refused list was kept")


def _since(b: Bench, minor: int) -> None:
    have = tuple(int(part) for part in b.signals().contract_version.split(".")[:2])
    if have < (1, minor):
        raise NotPreparedError("the ledger speaks an older version of the contract")


@case("L7", "POST /link/check tells what POST /link would, and changes nothing (1.2)")
def link_check(b: Bench) -> None:
    _since(b, 2)
    given = {"company_code": b.company_code, "store_code": b.store_code}
    items = [{"client_id": "OT-UNKNOWN", **given}, {"client_id": b.client_id, **given}]
    found = b.read(b.call("POST", "/link/check", {"items": items}, token=""), wire.LinkCheckAnswer)
    wanted = ["CLIENT_ID_UNKNOWN", "CLIENT_ID_USED"]
    ensure(found.codes == wanted, f"{wanted} expected, {found.codes} came")
    b.signals()


@case("M1", "GET /mapping names the seat of every mapped table (1.2)")
def mapping(b: Bench) -> None:
    _since(b, 2)
    found = b.read(b.call("GET", "/mapping"), wire.MappingState)
    seats = {table.name: table.seat_name for table in found.tables}
    wanted = {**{name: name for name in SEATS}, UNMAPPED: None}
    ensure(seats == wanted, f"{wanted} expected, {seats} came")


@case("M2", "POST /mapping?keep=true drops no pair whose names have parted (1.3)")
def mapping_kept(b: Bench) -> None:
    _since(b, 3)
    renamed = {f"{name}改" if name == SEATS[2] else name: table_id for name, table_id in b.tables.items()}
    b.read(b.push(renamed), wire.TableListAnswer)
    found = b.read(b.call("POST", "/mapping?keep=true"), wire.MappingState)
    seats = {table.name: table.seat_name for table in found.tables}
    b.read(b.push(b.tables), wire.TableListAnswer)
    wanted = SEATS[2]
    ensure(seats.get(f"{wanted}改") == wanted, f"the seat {wanted} expected, {seats.get(f'{wanted}改')} came")


@case("T4", "a removed table loses its seat at once: SEAT_MAPPING_LOST, not SEAT_NOT_MAPPED")
def mapping_lost(b: Bench) -> None:
    before = b.signals().mapped
    kept = {name: table_id for name, table_id in b.tables.items() if name != SEATS[2]}
    b.read(b.push(kept), wire.TableListAnswer)
    ensure(b.signals().mapped == before - 1, "one mapped seat less expected after its table was removed")
    b.read(b.push(b.tables), wire.TableListAnswer)
    b.refuse(b.visit(SEATS[2]), "SEAT_MAPPING_LOST")


@case("K1", "a ticket opens the ledger's screens once")
def ticket(b: Bench) -> None:
    found = b.read(b.call("POST", "/tickets", wire.TicketRequest(person="適合")), wire.TicketAnswer, 201)
    first, second = b.http.get(found.path), b.http.get(found.path)
    ensure(first.status_code < 400, f"the ticket's path answered {first.status_code}")
    ensure(second.status_code >= 400, "the ticket was good twice")


@case("Z1", "after DELETE /link the token and the Client id are worth nothing")
def end(b: Bench) -> None:
    b.tidy()
    b.read(b.call("DELETE", "/link"), wire.Signals)
    for method, path in (("GET", "/signals"), ("DELETE", "/link")):
        b.refused(b.call(method, path), 401, "UNAUTHORIZED")
    answer = b.call("POST", "/link", _request(b, b.client_id, b.link_id), token="")
    b.refused(answer, 409, "CLIENT_ID_USED")
