"""How the ledger's screens stay current: a browser every 10 minutes, the GateAPP view at once (G2)."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, g, request

from portal.kernel.clock import SystemClock
from portal.ledger.accounts.service import user_of
from portal.ledger.accounts.views import COOKIE
from portal.ledger.database import ledger_db
from portal.ledger.models import Shop
from portal.web.clock import AppClock
from portal.web.live import Live
from portal.web.push import Admission

CHANNEL = "ledger_shop"
STREAM = "/stream"
GATE = "ledger_gate"
BROWSER_SECONDS = 600
clock = AppClock()


def is_gate() -> bool:
    """Whether this is the GateAPP view."""
    return request.cookies.get(GATE) == "1"


def shop_live() -> Live:
    """The state of a screen of the person's shop."""
    shop = ledger_db.session().get_one(Shop, g.ledger_user.shop_id)
    gate = is_gate()
    return Live(
        shop.version, f"{g.ledger_user.session_id} {gate}", stream=request.script_root + STREAM if gate else "",
        every=60 if gate else BROWSER_SECONDS, poll=10 if gate else BROWSER_SECONDS,
        minute=f"{clock.now():%d%H%M}",
    )  # fmt: skip


def admit(app: Flask, cookies: Mapping[str, str]) -> Admission | None:
    """Who asks for a stream: a person with a login of the shop."""
    with app.app_context():
        session = ledger_db.session()
        user = user_of(session, cookies.get(COOKIE, ""), SystemClock().now())
        if user is None:
            return None
        version = session.get_one(Shop, user.shop_id).version
        account = user.account_id or user.session_id
        return Admission(
            f"{CHANNEL} {user.shop_id}", version, str(user.session_id), str(account),
            frozenset(map(str, (user.session_id, account))),
        )  # fmt: skip
