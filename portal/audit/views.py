"""監査 → 操作履歴 (D4)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request, url_for

from portal.audit import queries
from portal.audit.forms import AuditForm
from portal.audit.words import action_label, lines
from portal.database import db
from portal.identity.service import visible_stores
from portal.kernel import fmt
from portal.kernel.ids import parse_id
from portal.stores.service import page_of
from portal.web.context import permission, render
from portal.web.downloads import csv_file

blueprint = Blueprint("audit", __name__, url_prefix="/operations/audit")
PER_PAGE = 50
MOST_CSV = 50_000


def _search() -> tuple[AuditForm, queries.Filter]:
    form = AuditForm(formdata=request.args)
    stores = visible_stores(db.session(), g.actor)
    form.store_id.choices = {"": "すべて"} | {str(s.id): f"{s.code} {s.name}" for s in stores}
    if not form.validate():
        return form, queries.Filter()
    if form.since.data and form.until.data and form.since.data > form.until.data:
        form.fail("until", "期間は、開始日が終了日より前になるように入力してください。")
    return form, queries.Filter(
        since=form.since.data, until=form.until.data, who=form.who.data or "", store_id=parse_id(form.store_id.data),
        group=form.group.data or "", action=form.action.data or "", text=form.text.data or "",
    )  # fmt: skip


@blueprint.get("")
@permission("company")
def index() -> Response:
    """One screen for every change of settings, link, mapping, money and roles."""
    form, wanted = _search()
    session = db.session()
    rows, total, page = page_of(
        session, queries.entries(wanted), request.args.get("page", 1, type=int), PER_PAGE
    )
    given: dict[str, Any] = {k: v for k, v in request.args.items() if k != "page" and v}
    names = {s.id: s.name for s in visible_stores(session, g.actor)}
    return render("audit/index.html", "results", form=form, rows=[row[0] for row in rows], total=total, page=page,
                  pages=max(1, -(-total // PER_PAGE)), per=PER_PAGE, stores=names, action_label=action_label,
                  lines=lines, csv_url=url_for("audit.export", **given),
                  pager_url=url_for("audit.index", **given) + ("&" if given else "?"),
                  status=422 if form.messages else 200)  # fmt: skip


@blueprint.get("/export")
@permission("company")
def export() -> Response:
    """The same search as CSV, at most 50,000 rows."""
    _, wanted = _search()
    session = db.session()
    names = {s.id: s for s in visible_stores(session, g.actor)}
    rows: list[list[object]] = [
        ["日時", "担当者", "店舗コード", "店舗名", "操作", "対象", "変更前", "変更後"]
    ]
    for entry in session.scalars(queries.entries(wanted).limit(MOST_CSV)):
        store = names.get(entry.store_id)
        said = lines(entry.before, entry.after)
        rows.append([fmt.jdatetime(entry.at), entry.actor_label or "システム", store.code if store else "",
                     store.name if store else "", action_label(entry.action), entry.target,
                     "、".join(f"{label}={old}" for label, old, _ in said if old),
                     "、".join(f"{label}={new}" for label, _, new in said if new)])  # fmt: skip
    return csv_file("操作履歴", rows)
