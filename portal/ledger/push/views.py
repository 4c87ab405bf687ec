"""Turns a device into the GateAPP view, and back into a browser (G2)."""

from __future__ import annotations

from flask import Blueprint, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.ledger.push.service import GATE
from portal.web.context import permission

blueprint = Blueprint("ledger_push", __name__)


def _home() -> BaseResponse:
    return redirect(url_for("ledger_timetable.index"), 303)


@blueprint.get("/gate")
@permission("ledger")
def gate() -> BaseResponse:
    """GateAPP opens the ledger at this address: from then on this device shows every change at once."""
    response = _home()
    response.set_cookie(
        GATE, "1", max_age=400 * 24 * 3600, httponly=True, samesite="Lax", secure=g.secure_cookies,
        path=request.script_root or "/",
    )  # fmt: skip
    return response


@blueprint.post("/gate/close")
@permission("ledger")
def close() -> BaseResponse:
    """Back to the browser's own rhythm: every 10 minutes, and 手動更新."""
    response = _home()
    response.delete_cookie(GATE, path=request.script_root or "/")
    return response
