"""/api/v1: what terminals without screens of ours work through, and any POS that wants to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Literal, cast

from flask import Blueprint, Response, current_app, g, request
from sqlalchemy.orm import Session

from portal.database import db, run_write
from portal.days import service as days
from portal.kernel.errors import UserError
from portal.link import feed
from portal.printing import service as printing
from portal.register import service as register
from portal.register.devices import fetch_reservations
from portal.register.queries import near
from portal.services import deliverer
from portal.terminal_api import access, answers, commands, idempotency
from portal.terminal_api import schemas as wire
from portal.terminal_api.access import ApiError, answer, body_of, device, key_of, terminal
from portal.terminal_api.document import documented
from portal.terminals import service as terminals
from portal.terminals.models import MasterVersion
from portal.web.context import csrf, permission

blueprint = Blueprint("terminal_api", __name__, url_prefix="/api/v1")
csrf.exempt(blueprint)
blueprint.before_request(access.authenticate)
# In the words of the API: where the ledger ended the link, what is owed waits; a link that was given up is none.
LINK_STATES: dict[str, Literal["linked", "down", "unlinked", "training"]] = {
    "linked": "linked", "down": "down", "cut": "down", "ended": "unlinked", "unlinked": "unlinked", "training": "training",
}  # fmt: skip


@blueprint.errorhandler(ApiError)
def _api_error(error: ApiError) -> Response:
    return access.known(error)


@blueprint.errorhandler(UserError)
def _refused(error: UserError) -> Response:
    status, found = access.refusal(error)
    return answer(found, status)


def _write(work: Callable[[uuid.UUID], commands.Result]) -> Response:
    """Run a write once per Idempotency-Key, and give the stored answer ever after."""
    caller = g.api_caller

    def told(op_id: uuid.UUID) -> commands.Result:
        try:
            return work(op_id)
        except UserError as error:
            status, found = access.refusal(error)
            return status, found.model_dump(mode="json")

    try:
        stored = idempotency.answer_once(
            db.session(), deliverer().clock, terminal_id=caller.terminal_id, company_id=caller.company_id, key=key_of(),
            mark=idempotency.fingerprint(request.method, request.path, request.get_data()), work=told,
        )  # fmt: skip
    except idempotency.KeyReusedError:
        raise ApiError("IDEMPOTENCY_KEY_REUSED") from None
    except idempotency.InProgressError:
        raise ApiError("IN_PROGRESS", retry_after=1) from None
    response = Response(current_app.json.dumps(stored.body), stored.status, mimetype="application/json")
    response.headers["Idempotency-Replayed"] = "true" if stored.replayed else "false"
    return response


Command = Callable[..., commands.Result]


def _do(command: Command, *given: Any) -> Response:
    """A write with the terminal as it is when the work begins (not when a request that waited came in)."""

    def work(op_id: uuid.UUID) -> commands.Result:
        session: Session = db.session()
        return command(session, deliverer(), device(), op_id, *given)

    return _write(work)


@blueprint.get("/terminal")
@permission("token")
@documented(wire.TerminalState)
def state() -> Response:
    """この端末: 名称, 営業日, 開局, 連携."""
    found = device()
    return answer(
        wire.TerminalState(
            name=found.name, kind=cast(Any, found.kind), training=found.training, store_name=found.store_name,
            business_date=found.business_date, link=LINK_STATES[found.link_state], master_synced_at=found.synced_at,
            open=days.is_open(db.session(), found.store_id, found.business_date, found.training),
        )
    )  # fmt: skip


@blueprint.get("/master")
@permission("token")
@documented(wire.Master, etag=True)
def master() -> Response:
    """マスタ同期: 取得した時点のマスタで動作します (S1, S2)."""
    now = deliverer().clock.now()

    def sync(s: Session) -> tuple[str, dict[str, Any]]:
        row = terminal()
        terminals.sync_master(s, row, now)
        version = s.get_one(MasterVersion, row.master_version_id)
        return f"{version.number}-{version.digest[:12]}", version.body

    version, body = run_write(db.session(), sync)
    etag = f'"{version}"'
    if request.headers.get("If-None-Match", "").strip() == etag:
        response = Response(status=304)
    else:
        found = device()
        response = answer(
            wire.Master(
                version=version, store_name=found.store_name, default_stay_minutes=body["default_stay_minutes"],
                table_reset=body["table_reset"], linked=body["link_id"] is not None and not found.training,
                tables=body["tables"], payment_types=body["payment_types"], menu=body["menu"],
            )
        )  # fmt: skip
    response.headers["ETag"] = etag
    return response


@blueprint.get("/tables")
@permission("token")
@documented(wire.Tables)
def tables() -> Response:
    """テーブルの状態."""
    return answer(answers.tables_state(db.session(), device()))


@blueprint.get("/reservations")
@permission("token")
@documented(wire.Reservations)
def reservations() -> Response:
    """予約確認: 前日・当日・翌日の予約。お席トットくんから取得します (C2)."""
    fresh = fetch_reservations(db.session(), deliverer(), terminal())
    row = terminal()
    found = device()
    items = [item for item in feed.items_of(db.session(), row) if near(item, found)]
    return answer(answers.reservations_of(db.session(), found, items, fresh, row.feed_fetched_at))


@blueprint.get("/visits/<uuid:visit_id>")
@permission("token")
@documented(wire.Visit, 404)
def visit(visit_id: uuid.UUID) -> Response:
    """来店と伝票."""
    found = device()
    register.get_visit(db.session(), found, visit_id)
    return answer(answers.visit_of(db.session(), found, visit_id))


@blueprint.post("/visits")
@permission("token")
@documented(wire.Visit, 404, body=wire.SeatRequest, status=201, write=True)
def seat() -> Response:
    """配席."""
    key_of()
    return _do(commands.seat, body_of(wire.SeatRequest))


@blueprint.post("/visits/<uuid:visit_id>/change")
@permission("token")
@documented(wire.Visit, 404, body=wire.ChangeRequest, write=True)
def change(visit_id: uuid.UUID) -> Response:
    """配席後の人数・時間の変更 (P9)."""
    key_of()
    return _do(commands.change, visit_id, body_of(wire.ChangeRequest))


@blueprint.post("/reservations/<uuid:reservation_id>/change")
@permission("token")
@documented(wire.Reservation, 404, body=wire.ReservationChangeRequest, write=True)
def change_reservation(reservation_id: uuid.UUID) -> Response:
    """配席前の予約の変更 (P9): お席トットくんが受け付けたときだけ変更されます."""
    key_of()
    return _do(commands.change_reservation, reservation_id, body_of(wire.ReservationChangeRequest))


@blueprint.post("/visits/<uuid:visit_id>/move")
@permission("token")
@documented(wire.Visit, 404, body=wire.MoveRequest, write=True)
def move(visit_id: uuid.UUID) -> Response:
    """移動."""
    key_of()
    return _do(commands.move, visit_id, body_of(wire.MoveRequest))


@blueprint.post("/visits/<uuid:visit_id>/orders")
@permission("token")
@documented(wire.Visit, 404, body=wire.OrderRequest, write=True)
def order(visit_id: uuid.UUID) -> Response:
    """注文."""
    key_of()
    return _do(commands.order, visit_id, body_of(wire.OrderRequest))


@blueprint.post("/visits/<uuid:visit_id>/checkout")
@permission("token")
@documented(wire.CheckoutAnswer, 404, body=wire.CheckoutRequest, write=True)
def pay(visit_id: uuid.UUID) -> Response:
    """会計."""
    key_of()
    return _do(commands.pay, visit_id, body_of(wire.CheckoutRequest))


@blueprint.post("/slips/<uuid:slip_id>/void")
@permission("token")
@documented(wire.VoidAnswer, 404, body=wire.VoidRequest, write=True)
def void(slip_id: uuid.UUID) -> Response:
    """伝票取消."""
    key_of()
    return _do(commands.void, slip_id, body_of(wire.VoidRequest))


@blueprint.get("/print-jobs")
@permission("token")
@documented(wire.PrintJobs)
def print_jobs() -> Response:
    """印刷待ち."""
    found, now = device(), deliverer().clock.now()
    run_write(db.session(), lambda s: printing.note_failures(s, found.store_id, now))
    jobs = [answers.job_of(job) for job in printing.waiting(db.session(), found)]
    return answer(wire.PrintJobs(jobs=jobs))


@blueprint.post("/print-jobs/<uuid:job_id>/acknowledge")
@permission("token")
@documented(wire.PrintJobItem, 404, write=True)
def acknowledge(job_id: uuid.UUID) -> Response:
    """印刷済みにする."""
    return _do(commands.acknowledge, job_id)
