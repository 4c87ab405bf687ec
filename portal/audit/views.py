"""監査 → 操作履歴 (D4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, g, request, url_for
from sqlalchemy.exc import OperationalError

from portal.audit import queries
from portal.audit.forms import AuditForm
from portal.audit.words import action_label, lines
from portal.database import db, sqlstate
from portal.identity.service import visible_stores
from portal.kernel import fmt
from portal.kernel.business_day import TOKYO
from portal.kernel.clock import SystemClock
from portal.kernel.ids import parse_id
from portal.stores.service import page_of
from portal.web.context import permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu

blueprint = Blueprint("audit", __name__, url_prefix="/operations/audit")
clock = SystemClock()
PER_PAGE = 50
MOST_LISTED = 10_000
MOST_CSV = 50_000
# A chain of a thousand stores writes a hundred thousand entries a day: without a period the last month is searched.
USUAL_DAYS = 30
TIMED_OUT = "57014"


def _search() -> tuple[AuditForm, queries.Filter]:
    form = AuditForm(formdata=request.args)
    stores = visible_stores(db.session(), g.actor)
    form.store_id.choices = {"": "すべて"} | {str(s.id): f"{s.code} {s.name}" for s in stores}
    if not form.validate():
        return form, queries.Filter(since=_today() - timedelta(days=USUAL_DAYS))
    if form.since.data is None and form.until.data is None:
        form.since.data = _today() - timedelta(days=USUAL_DAYS)
    if form.since.data and form.until.data and form.since.data > form.until.data:
        form.fail("until", "期間は、開始日が終了日より前になるように入力してください。")
    return form, queries.Filter(
        since=form.since.data, until=form.until.data, before=_before(), who=form.who.data or "", store_id=parse_id(form.store_id.data),
        group=form.group.data or "", action=form.action.data or "", text=form.text.data or "",
    )  # fmt: skip


def _before() -> datetime | None:
    """Where 「これより前を検索」 goes on; nonsense is left out."""
    try:
        given = datetime.fromisoformat(request.args.get("before", ""))
    except ValueError:
        return None
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)


def _today() -> date:
    return clock.now().astimezone(TOKYO).date()


@blueprint.get("")
@in_menu("監査", 10, "操作履歴")
@permission("company")
def index() -> Response:
    """One screen for every change of settings, link, mapping, money and roles."""
    form, wanted = _search()
    session = db.session()
    names = {s.id: s.name for s in visible_stores(session, g.actor)}
    rows: list[Any] = []
    total, page, unread = 0, 1, None
    try:
        unread = queries.unread(session, wanted)
        rows, total, page = page_of(session, queries.entries(wanted), request.args.get("page", 1, type=int), PER_PAGE,
                                    most=MOST_LISTED)  # fmt: skip
    except OperationalError as error:
        if sqlstate(error) != TIMED_OUT:
            raise
        session.rollback()
        form.fail(
            "since",
            "操作履歴が多く、時間内に検索できませんでした。期間を短くして、もう一度検索してください。",
        )
    given: dict[str, Any] = {k: v for k, v in request.args.items() if k != "page" and v}
    return render("audit/index.html", "results", form=form, rows=[row[0] for row in rows], total=total, page=page,
                  pages=max(1, -(-total // PER_PAGE)), per=PER_PAGE, stores=names, action_label=action_label,
                  lines=lines, unread=unread, read=queries.MOST_READ,
                  older_url=url_for("audit.index", **{**given, "before": unread.isoformat()}) if unread else "",
                  before=wanted.before, newest_url=url_for("audit.index", **{k: v for k, v in given.items() if k != "before"}), csv_url=url_for("audit.export", **given), most=MOST_LISTED,
                  pager_url=url_for("audit.index", **given) + ("&" if given else "?"),
                  status=422 if form.messages else 200)  # fmt: skip


@blueprint.get("/export")
@permission("company")
def export() -> Response:
    """The same search as CSV, at most 50,000 rows; the last line says so where there were more."""
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
    unread = queries.unread(session, wanted)
    if unread is not None:
        rows.append(
            [
                f"キーワードは、新しいものから{queries.MOST_READ:,}件({fmt.jdatetime(unread)}より後)で検索しました。これより前は、期間を短くして出力してください。"
            ]
        )
    elif len(rows) > MOST_CSV:
        rows.append(
            [
                f"{MOST_CSV:,}件を超えたため、これより前の履歴は出力していません。期間を短くして出力してください。"
            ]
        )
    return csv_file("操作履歴", rows)
