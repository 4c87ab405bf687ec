"""CSVから登録: choose or paste, see, confirm; and CSV out."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, request, url_for
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope
from portal.imports import service
from portal.imports.service import IMPORTERS, KINDS, Importer
from portal.kernel.clock import SystemClock
from portal.kernel.csvfile import ENCODINGS
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import parse_id
from portal.stores.models import Store
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file

blueprint = Blueprint("imports", __name__, url_prefix="/imports")
clock = SystemClock()
READ = {"auto": "自動で判別", "utf-8-sig": "UTF-8", "cp932": "Shift_JIS(CP932)"}
NAMES = {"utf-8-sig": "UTF-8", "cp932": "Shift_JIS(CP932)", "utf-16": "UTF-16"}
SHOWN_FAULTS = 100


def _which(kind: str) -> tuple[Importer, Store | None]:
    importer = IMPORTERS.get(kind)
    if importer is None:
        raise NotFoundError
    if not importer.per_store:
        if g.actor.role != "company_admin":
            raise Forbidden
        return importer, None
    return importer, store_in_scope(db.session(), g.actor, parse_id(request.values.get("store_id")))


def _back(importer: Importer, store: Store | None) -> str:
    return url_for(importer.back, store_id=store.id) if store else url_for(importer.back)


def _args(store: Store | None) -> dict[str, Any]:
    return {"store_id": store.id} if store else {}


def _choose(importer: Importer, store: Store | None, errors: dict[str, str], status: int = 200) -> Response:
    return render("imports/choose.html", importer=importer, store=store, args=_args(store), errors=errors, read=READ,
                  encodings=ENCODINGS, back=_back(importer, store), form=importer.form(db.session()),
                  pasted=request.form.get("pasted", ""), chosen=request.form.get("encoding", "auto"),
                  status=status)  # fmt: skip


@blueprint.get("/<kind>")
@permission("manage")
def choose(kind: str) -> Response:
    return _choose(*_which(kind), {})


@blueprint.post("/<kind>")
@permission("manage")
def upload(kind: str) -> BaseResponse:
    """Read what was chosen; nothing is written yet."""
    importer, store = _which(kind)
    found = request.files.get("file")
    pasted = request.form.get("pasted", "")
    data: bytes | str = found.read() if found is not None and found.filename else pasted
    if not data:
        return _choose(importer, store, {"file": "CSVファイルを選択するか、内容を貼り付けてください。"}, 422)
    encoding = request.form.get("encoding", "auto")
    name = (found.filename or "") if found is not None else ""
    try:
        draft_id = run_write(
            db.session(),
            lambda s: service.take_in(
                s, g.actor, importer, store, name=name or "貼り付け", data=data,
                encoding=encoding if encoding in READ else "auto", now=clock.now(),
            ).id,
        )  # fmt: skip
    except UserError as error:
        return _choose(importer, store, {"file": error.message}, error.status)
    return redirect(url_for("imports.preview", kind=kind, draft_id=draft_id, **_args(store)), 303)


def _preview(kind: str, draft_id: uuid.UUID, problem: UserError | None = None) -> Response:
    importer, store = _which(kind)
    draft = service.draft_of(db.session(), g.actor, importer, draft_id)
    if draft.applied_at is not None:
        raise problem or NotFoundError
    plan = service.plan_of(db.session(), g.actor, importer, store, draft)
    return render("imports/preview.html", importer=importer, store=store, args=_args(store), draft=draft, plan=plan,
                  kinds=KINDS, encodings=NAMES, back=_back(importer, store), shown=SHOWN_FAULTS, problem=problem,
                  by_line={c.line: c for c in plan.changes}, status=problem.status if problem else 200)  # fmt: skip


@blueprint.get("/<kind>/<uuid:draft_id>")
@permission("manage")
def preview(kind: str, draft_id: uuid.UUID) -> Response:
    return _preview(kind, draft_id)


@blueprint.post("/<kind>/<uuid:draft_id>")
@permission("manage")
def confirm(kind: str, draft_id: uuid.UUID) -> BaseResponse:
    """登録: all of the file, once."""
    importer, store = _which(kind)
    store_id = store.id if store else None
    try:
        plan = run_write(
            db.session(),
            lambda s: service.confirm(
                s,
                g.actor,
                importer,
                store_in_scope(s, g.actor, store_id) if store_id else None,
                draft_id,
                clock.now(),
            ),
        )
    except UserError as error:
        if error.status == 404:
            raise
        return _preview(kind, draft_id, error)
    flash(
        f"{importer.title}をCSVから登録しました。新規 {plan.count('new'):,}件、変更 {plan.count('changed'):,}件、"
        f"変更なし {plan.count('same'):,}件",
        "success",
    )
    return go(_back(importer, store_in_scope(db.session(), g.actor, store_id) if store_id else None))


@blueprint.get("/<kind>/faults/<uuid:draft_id>")
@permission("manage")
def faults(kind: str, draft_id: uuid.UUID) -> Response:
    """The errors of a draft as CSV, to work through beside the file."""
    importer, store = _which(kind)
    draft = service.draft_of(db.session(), g.actor, importer, draft_id)
    plan = service.plan_of(db.session(), g.actor, importer, store, draft)
    rows: list[list[object]] = [
        ["行", "列", "エラー内容"],
        *([f.line, f.column, f.message] for f in plan.sheet.faults),
    ]
    return csv_file(f"{importer.title}エラー", rows)


@blueprint.get("/<kind>/export")
@permission("manage")
def export(kind: str) -> Response:
    """CSV出力, in the form that CSVから登録 takes."""
    importer, store = _which(kind)
    rows = [list(importer.columns.values()), *importer.export(db.session(), g.actor, store)]
    return csv_file(importer.title + "一覧", rows)


@blueprint.get("/<kind>/sample")
@permission("manage")
def sample(kind: str) -> Response:
    """An empty file with the headings."""
    importer, _ = _which(kind)
    return csv_file(importer.title + "見本", [list(importer.columns.values())])
