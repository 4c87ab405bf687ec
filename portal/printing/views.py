"""印刷待ち on the POS: 予約台帳連携失敗通知 (M12)."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.kernel.errors import NotFoundError
from portal.printing import service
from portal.register.floor_views import device, shared
from portal.register.service import Device
from portal.services import deliverer
from portal.web.context import go, permission, render

blueprint = Blueprint("printing", __name__, url_prefix="/register/print-queue")


def _device() -> Device:
    """The terminal; a HANDY has no printer."""
    found = device(ready=False)
    if found.kind == "handy":
        raise NotFoundError
    return found


@blueprint.get("/")
@permission("register")
def index() -> Response:
    """印刷待ち, and what was printed lately."""
    found, now = _device(), deliverer().clock.now()
    run_write(db.session(), lambda s: service.note_failures(s, found.store_id, now))
    session = db.session()
    return render("printing/index.html", rows=service.waiting(session, found), done=service.printed(session, found),
                  **shared())  # fmt: skip


@blueprint.get("/<uuid:job_id>")
@permission("register")
def paper(job_id: uuid.UUID) -> Response:
    """The slip itself, 80 mm."""
    job = service.get_job(db.session(), _device(), job_id)
    return render("printing/paper.html", job=job, lines=service.lines_of(job), **shared())


@blueprint.post("/<uuid:job_id>/printed")
@permission("register")
def done(job_id: uuid.UUID) -> BaseResponse:
    """「印刷済みにする」."""
    found, now = _device(), deliverer().clock.now()
    run_write(db.session(), lambda s: service.acknowledge(s, found, g.actor, job_id, now))
    flash("印刷済みにしました。", "success")
    return go(url_for("printing.index"))
