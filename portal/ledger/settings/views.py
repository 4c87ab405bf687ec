"""店舗設定 and 操作履歴."""

from __future__ import annotations

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.ledger.database import ledger_db
from portal.ledger.events import ACTIONS, Author, lines, record
from portal.ledger.guests import expired_count, retention_days
from portal.ledger.models import CompanySetting, Event, Reservation, Shop
from portal.ledger.settings.forms import ShopForm
from portal.ledger.shops import lock_shop, touch
from portal.web.clock import AppClock
from portal.web.context import go, permission, render

blueprint = Blueprint("ledger_settings", __name__)
clock = AppClock()
PER_PAGE = 50


def _page(form: ShopForm | None = None, status: int = 200) -> Response:
    session = ledger_db.session()
    shop = _shop(session)
    days = retention_days(session, shop.company_id)
    form = form or ShopForm(
        formdata=None, open_minutes=shop.open_minutes, default_stay_minutes=shop.default_stay_minutes, retention_days=days
    )  # fmt: skip
    soon = expired_count(session, shop.company_id, clock.now(), form.retention_days.data or days)
    return render("ledger/settings.html", status=status, form=form, due=soon)


def _shop(session: Session) -> Shop:
    return session.get_one(Shop, g.ledger_user.shop_id)


@blueprint.get("/settings")
@permission("ledger")
def index() -> Response:
    return _page()


@blueprint.post("/settings")
@permission("ledger")
def save() -> BaseResponse:
    """Opening time and stay of this shop; the retention of all shops of the company."""
    form, user = ShopForm(), g.ledger_user
    if form.validate() and form.open_minutes.data % 60:
        form.fail("open_minutes", "タイムテーブルの開始時間は「10:00」のように、ちょうどの時間で入力してください。")  # fmt: skip
    elif form.open_minutes.data is not None and form.open_minutes.data > 23 * 60:
        form.fail("open_minutes", "タイムテーブルの開始時間は23:00までの時間で入力してください。")
    if form.messages:
        return _page(form, 422)
    given = dict(form.data)

    def work(s: Session) -> None:
        shop = lock_shop(s, user.shop_id)
        before = {
            "open_minutes": shop.open_minutes, "default_stay_minutes": shop.default_stay_minutes,
            "retention_days": retention_days(s, user.company_id),
        }  # fmt: skip
        changed = {key: value for key, value in given.items() if before[key] != value}
        shop.open_minutes, shop.default_stay_minutes = given["open_minutes"], given["default_stay_minutes"]
        s.merge(CompanySetting(company_id=user.company_id, retention_days=given["retention_days"]))
        if changed:
            record(
                s, company_id=user.company_id, shop_id=shop.id, at=clock.now(), by=Author(user.person), action="settings",
                before={key: before[key] for key in changed}, after=changed,
            )  # fmt: skip
            touch(shop)

    run_write(ledger_db.session(), work)
    flash("店舗設定を登録しました。")
    return go(url_for("ledger_settings.index"))


@blueprint.get("/history")
@permission("ledger")
def history() -> Response:
    """操作履歴: who did what in this shop, and what came from the POS; no guest's data."""
    session, shop_id = ledger_db.session(), g.ledger_user.shop_id
    asked = request.args.get("page", "1")
    total = session.scalar(select(func.count()).where(Event.shop_id == shop_id)) or 0
    pages = max(1, -(-total // PER_PAGE))
    page = min(pages, max(1, int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 1))
    statement = (
        select(Event, Reservation.number)
        .outerjoin(Reservation, Reservation.id == Event.reservation_id)
        .where(Event.shop_id == shop_id)
        .order_by(Event.at.desc(), Event.id.desc())
    )
    rows = session.execute(statement.limit(PER_PAGE).offset((page - 1) * PER_PAGE)).all()
    return render("ledger/history.html", rows=rows, page=page, pages=pages, per=PER_PAGE, total=total, lines=lines,
                  actions=ACTIONS)  # fmt: skip
