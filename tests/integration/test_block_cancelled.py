"""A block of the POS that the ledger's staff took away, and one that the ledger refused (O14)."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from functools import partial

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from portal.database import bind_company, run_write
from portal.ledger.models import PosLink
from portal.ledger.reservations.change import ChangeRefusedError, put_block
from portal.ledger.reservations.service import cancel as cancel_booking
from portal.link.contract import BlockRequest
from tests.conftest import World


def test_O14_a_block_that_staff_cancelled_is_not_there_for_the_pos(world: World) -> None:
    """Repeated or ended by the POS: 404, not an error of the ledger's, and it stays cancelled."""
    engine = create_engine(world.settings.ledger_database_url or "")
    block_id, start = uuid.uuid4(), world.clock.now()
    link_id = world.one("SELECT id FROM ledger.pos_link WHERE ended_at IS NULL AND company_id = 1")
    table_id = world.one("SELECT table_id FROM ledger.seat_mapping WHERE link_id = :l LIMIT 1", l=link_id)
    asked = BlockRequest(table_id=table_id, start_at=start, end_at=start + timedelta(hours=2))
    with Session(engine) as session:
        bind_company(session, 1)
        link = session.get_one(PosLink, link_id)
        run_write(session, lambda s: put_block(s, link, block_id, asked, start))
        assert run_write(session, lambda s: cancel_booking(s, link.shop_id, block_id, start))
        for end in (asked.end_at, start + timedelta(minutes=5)):
            wanted = asked.model_copy(update={"end_at": end})
            with pytest.raises(ChangeRefusedError) as refused:
                run_write(session, partial(put_block, link=link, block_id=block_id, wanted=wanted, now=start))
            assert (refused.value.status, refused.value.code) == (404, "NOT_FOUND")
    engine.dispose()
    assert world.one("SELECT status FROM ledger.reservation WHERE id = :i", i=block_id) == "cancelled"


def test_O14_a_block_that_was_refused_is_not_shown_by_a_copy_of_its_request_that_comes_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The POS has forgotten it and will not end it: what was refused for want of a seat stays refused."""
    sent: list[httpx.Request] = []
    through = world.network.handle_request

    def keep(request: httpx.Request) -> httpx.Response:
        if "/blocks/" in request.url.path:
            headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
            sent.append(httpx.Request(request.method, request.url, headers=headers, content=request.read()))
        return through(request)

    monkeypatch.setattr(world.network, "handle_request", keep)
    world.run("UPDATE pos.store SET send_blocks = true WHERE company_id = 1")
    seat = world.one(
        "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE s.name = 'A1' AND h.public_id = 'OT100011'"
    )
    world.no_reservations()
    ledger, pos = world.ledger_login(), world.register()
    world.run("UPDATE ledger.seat SET name = 'A1x' WHERE id = :s", s=seat)
    assert ledger.post("/seats/sync").status_code == 200
    path = f"/register/tables/{world.table('A1')}"
    pos.post(f"{path}/block", op_id=str(uuid.uuid4()))
    assert "お席トットくんには反映できませんでした" in pos.get("/register/tables").text
    world.run("UPDATE ledger.seat SET name = 'A1' WHERE id = :s", s=seat)
    assert ledger.post("/seats/sync").status_code == 200
    pos.post(f"{path}/unblock", op_id=str(uuid.uuid4()))
    assert len(sent) == 1
    late = [through(sent[0]) for _ in range(2)]
    assert [(answer.status_code, json.loads(answer.read())["code"]) for answer in late] == [
        (422, "SEAT_NOT_MAPPED")
    ] * 2
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'block'") == 0
    # The next block of the same table is another one.
    pos.post(f"{path}/block", op_id=str(uuid.uuid4()))
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'block'") == 1
