"""運用管理設定 → 予約連携 → 一括連携 (L9), and the progress of every run over many stores."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.daycheck.forms import DayForm
from portal.kernel import csvfile
from portal.kernel.errors import ConflictError, UserError
from portal.kernel.ids import parse_id
from portal.rollout import service
from portal.rollout.forms import RolloutForm
from portal.rollout.kinds import owed_of
from portal.rollout.models import KIND_LABELS, BatchRow, BatchRun
from portal.services import deliverer
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file

blueprint = Blueprint("rollout", __name__, url_prefix="/operations/rollout")
PER_PAGE = 100
STATE_LABELS = {
    "draft": "実行前の確認",
    "running": "処理中",
    "paused": "一時停止中",
    "done": "完了",
    "cancelled": "中止",
}
ROW_LABELS = {
    "skipped": "対象外",
    "waiting": "待機",
    "doing": "処理中",
    "done": "成功",
    "failed": "失敗",
    "undone": "取消済み",
}
FILTERS = {"": "すべて", "bad": "失敗・対象外", "good": "成功", "open": "これから"}
SHOWN = {"bad": ("failed", "skipped"), "good": ("done", "undone"), "open": ("waiting", "doing")}


@blueprint.get("/")
@permission("company")
def index() -> Response:
    return _index(RolloutForm(formdata=None))


def _index(form: RolloutForm, status: int = 200) -> Response:
    runs = db.session().scalars(select(BatchRun).order_by(BatchRun.created_at.desc()).limit(20)).all()
    return render(
        "rollout/index.html", form=form, runs=runs, kinds=KIND_LABELS, states=STATE_LABELS, status=status
    )


@blueprint.post("/")
@permission("company")
def plan() -> BaseResponse:
    """The dry run: a file or a pasted list; nothing is linked by it."""
    form = RolloutForm()
    form.validate()
    file = request.files.get("file")
    source, text = "貼り付け", form.text.data or ""
    try:
        if file is not None and file.filename:
            source = file.filename[:100]
            try:
                text, _ = csvfile.decode(file.read())
            except csvfile.CsvError as error:
                raise UserError(str(error), field="file") from None
        if not text.strip():
            raise UserError("CSVファイルを選択するか、一覧を貼り付けてください。", field="text")
        if form.messages:
            return _index(form, 422)
        run_id = service.plan_link(db.session(), deliverer(), g.actor, text, source)
    except UserError as error:
        form.add(error)
        return _index(form, error.status)
    return go(url_for("rollout.show", run_id=run_id))


@blueprint.get("/template.csv")
@permission("company")
def template() -> Response:
    """The stores that are not linked yet, ready to be filled in."""
    stores = service.known_stores(db.session())
    rows = [(s.code, "", s.name) for s in stores.values() if s.provider is None and not s.pending]
    return csv_file("一括連携", [("店舗コード", "Client id", "店舗名"), *sorted(rows)])


def _show(run_id: uuid.UUID, status: int = 200, problem: UserError | None = None) -> Response:
    session = db.session()
    run = service.get_run(session, run_id)
    wanted = request.args.get("show", "")
    rows = select(BatchRow).where(BatchRow.run_id == run.id)
    count = select(func.count()).where(BatchRow.run_id == run.id)
    if wanted in SHOWN:
        rows = rows.where(BatchRow.state.in_(SHOWN[wanted]))
        count = count.where(BatchRow.state.in_(SHOWN[wanted]))
    total = session.scalar(count) or 0
    pages = max(1, -(-total // PER_PAGE))
    page = min(pages, max(1, request.args.get("page", 1, type=int)))
    # Before the run, what is wrong stands first.
    order = [BatchRow.state != "skipped"] if run.state == "draft" else []
    found = session.scalars(
        rows.order_by(*order, BatchRow.position).offset((page - 1) * PER_PAGE).limit(PER_PAGE)
    ).all()
    owed = {}
    if run.kind == "unlink" and run.state == "draft":
        ids = session.scalars(
            select(BatchRow.store_id).where(BatchRow.run_id == run.id, BatchRow.store_id.is_not(None))
        )
        owed = owed_of(session, [store_id for store_id in ids if store_id is not None])
    return render("rollout/show.html", "progress", run=run, rows=found, total=total, page=page, pages=pages, per=PER_PAGE,
                  progress=service.progress(session, deliverer(), run), kinds=KIND_LABELS, states=STATE_LABELS,
                  labels=ROW_LABELS, filters=FILTERS, wanted=wanted, problem=problem, owed=owed, status=status)  # fmt: skip


@blueprint.get("/<uuid:run_id>")
@permission("company")
def show(run_id: uuid.UUID) -> Response:
    """The dry run, the progress, or the result: the same page at three times."""
    return _show(run_id)


@blueprint.get("/<uuid:run_id>/result.csv")
@permission("company")
def result(run_id: uuid.UUID) -> Response:
    """The result, row by row; Client ids only by their last four characters."""
    session = db.session()
    run = service.get_run(session, run_id)
    rows = session.scalars(select(BatchRow).where(BatchRow.run_id == run.id).order_by(BatchRow.position))
    return csv_file(f"{KIND_LABELS[run.kind]}結果", [
        ("行", "店舗コード", "店舗名", "Client id(末尾)", "結果", "理由コード", "説明"),
        *((r.line, r.store_code, r.store_name, r.client_id_hint, ROW_LABELS[r.state], r.code, r.message) for r in rows),
    ])  # fmt: skip


def _move(run_id: uuid.UUID, step: str, told: str) -> BaseResponse:
    try:
        service.move(db.session(), deliverer(), g.actor, run_id, step)
    except UserError as error:
        if not isinstance(error, ConflictError) and error.status == 404:
            raise
        return _show(run_id, error.status, error)
    flash(told, "success")
    return go(url_for("rollout.show", run_id=run_id))


@blueprint.post("/<uuid:run_id>/start")
@permission("company")
def start(run_id: uuid.UUID) -> BaseResponse:
    name = KIND_LABELS[service.get_run(db.session(), run_id).kind]
    return _move(run_id, "start", f"{name}を受け付けました。この画面を閉じても、処理は続きます。")


@blueprint.post("/<uuid:run_id>/pause")
@permission("company")
def pause(run_id: uuid.UUID) -> BaseResponse:
    return _move(run_id, "pause", "一時停止しました。処理中の行が終わりしだい止まります。")


@blueprint.post("/<uuid:run_id>/resume")
@permission("company")
def resume(run_id: uuid.UUID) -> BaseResponse:
    return _move(run_id, "resume", "再開しました。")


@blueprint.post("/<uuid:run_id>/cancel")
@permission("company")
def cancel(run_id: uuid.UUID) -> BaseResponse:
    return _move(run_id, "cancel", "中止しました。すでに終わった行は、そのまま残ります。")


@blueprint.post("/<uuid:run_id>/rows/<uuid:row_id>/undo")
@permission("company")
def undo(run_id: uuid.UUID, row_id: uuid.UUID) -> BaseResponse:
    """Take back one row's link."""
    try:
        told = service.undo(db.session(), deliverer(), g.actor, run_id, row_id)
    except ConflictError as error:
        db.session().rollback()
        return _show(run_id, error.status, error)
    if told:
        flash("連携を取り消しました。", "success")
    else:
        flash(
            "連携を取り消しました。お席トットくんに接続できなかったため、「Client id 発行」でも無効にしてください。",
            "warning",
        )
    return go(url_for("rollout.show", run_id=run_id))


def _many(kind: str, *, start: bool, source: str = "") -> BaseResponse:
    """A run over the stores that are ticked, of a finished run, or all that are linked."""
    session = db.session()
    ids: list[uuid.UUID] | None = None
    run_id = parse_id(request.form.get("run"))
    if run_id is not None:
        done = select(BatchRow.store_id).where(
            BatchRow.run_id == service.get_run(session, run_id).id, BatchRow.state == "done"
        )
        ids = [store_id for store_id in session.scalars(done) if store_id is not None]
    elif not request.form.get("all"):
        ids = [found for found in map(parse_id, request.form.getlist("store_ids")) if found is not None]
    stores = service.linked_stores(session, ids)
    new = service.plan_stores(session, deliverer(), g.actor, kind, stores, start=start, source=source)
    if start:
        flash(f"{KIND_LABELS[kind]}を受け付けました。この画面を閉じても、処理は続きます。", "success")
    return go(url_for("rollout.show", run_id=new))


@blueprint.post("/prepare")
@permission("company")
def prepare() -> BaseResponse:
    """テーブル同期と座席マッピング for many stores in one further run."""
    return _many("prepare", start=True)


@blueprint.post("/mapping")
@permission("company")
def check_mapping() -> BaseResponse:
    """マッピングの再確認 for many stores."""
    return _many("mapping", start=True)


@blueprint.post("/day-check")
@permission("company")
def check_days() -> BaseResponse:
    """日次照合 of one business day for many stores (D3)."""
    form = DayForm()
    if not form.validate():
        raise UserError(form.messages["day"])
    return _many("day_check", start=True, source=form.day.data.isoformat())


@blueprint.post("/unlink")
@permission("company")
def unlink() -> BaseResponse:
    """一括連携解除: first a page that says what stops and what is still owed (L7)."""
    return _many("unlink", start=False)
