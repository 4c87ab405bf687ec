"""A block of the POS that the ledger's staff took away (O14)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import partial

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
