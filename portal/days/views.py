"""閉局, 日計表, 入出金: on POS and ターミナル."""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.days import service, sheet
from portal.days.domain import DENOMINATIONS
from portal.days.forms import CashForm, CloseForm
from portal.days.models import DayClose
from portal.kernel.business_day import TOKYO
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.register.floor_views import device, shared
from portal.register.service import Device
from portal.services import deliverer
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file

blueprint = Blueprint("days", __name__, url_prefix="/register")


def _device() -> Device:
    """The terminal; a HANDY has no cash drawer."""
    found = device(ready=False)
    if found.kind == "handy":
        raise NotFoundError
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFoundError from None


@blueprint.get("/close")
@permission("register")
def close() -> BaseResponse:
    """閉局: the oldest day that is not closed comes first."""
    left = service.days_to_close(db.session(), _device())
    if not left:
        flash("開局していないため、閉局するものはありません。", "warning")
        return go(url_for("days.index"))
    return go(url_for("days.close_form", day=left[0].isoformat()))


def _page(day: date, form: CloseForm | None = None, status: int = 200, *, counted: bool = False) -> Response:
    session, found = db.session(), _device()
    if day not in service.days_to_close(session, found):
        raise NotFoundError
    if form is None:
        form = CloseForm(formdata=None)
        form.float_yen.data = form.next_float_yen.data = service.float_of(session, found, day)
    float_yen = form.float_yen.data if isinstance(form.float_yen.data, int) else 0
    figures, should = service.expected_cash(session, found, day, float_yen)
    total = sum(value * pieces for value, pieces in form.pieces.items())
    return render("days/close.html", day=day, form=form, figures=figures, should=should, total=total, counted=counted,
                  left=service.remaining(session, found, day), values=DENOMINATIONS, late=day < found.business_date,
                  status=status, **shared())  # fmt: skip


@blueprint.get("/close/<day>")
@permission("register")
def close_form(day: str) -> Response:
    return _page(_day(day))


@blueprint.post("/close/<day>")
@permission("register")
def close_submit(day: str) -> BaseResponse:
    """「計算」 shows the difference, 「閉局」 closes."""
    found, wanted, form = _device(), _day(day), CloseForm()
    if not form.validate():
        return _page(wanted, form, 422)
    if not form.closing:
        return _page(wanted, form, counted=True)
    op_id = parse_id(form.op_id.data) or new_id()
    try:
        close_id = service.close_day(
            db.session(), found, g.actor, op_id, wanted, form.count(), deliverer().clock.now()
        )
    except UserError as error:
        if error.status == 404 or service.days_to_close(db.session(), found) == []:
            raise
        form.add(error)
        return _page(wanted, form, error.status, counted=True)
    flash(f"営業日 {wanted:%Y/%m/%d} を閉局しました。", "success")
    return go(url_for("days.show", close_id=close_id))


@blueprint.get("/days")
@permission("register")
def index() -> Response:
    """日計表: the days that were closed."""
    found = _device()
    return render("days/index.html", rows=service.closings(db.session(), found),
                  left=service.days_to_close(db.session(), found), **shared())  # fmt: skip


def _close(close_id: uuid.UUID) -> DayClose:
    return service.get_close(db.session(), _device(), close_id)


def _sheet(close_id: uuid.UUID) -> dict[str, Any]:
    row = _close(close_id)
    return {
        "row": row,
        "figures": sheet.thaw(row.sheet),
        "values": DENOMINATIONS,
        "open": row.sheet.get("open", {}),
    }


@blueprint.get("/days/<uuid:close_id>")
@permission("register")
def show(close_id: uuid.UUID) -> Response:
    values = _sheet(close_id)
    moves = service.movements(db.session(), g.device, values["row"].business_date)
    return render("days/show.html", moves=moves, **values, **shared())


@blueprint.get("/days/<uuid:close_id>/print")
@permission("register")
def paper(close_id: uuid.UUID) -> Response:
    """The day sheet for an 80 mm printer."""
    return render("days/paper.html", **_sheet(close_id), **shared())


@blueprint.get("/days/<uuid:close_id>/csv")
@permission("register")
def download(close_id: uuid.UUID) -> Response:
    """日計表_YYYYMMDDHHMM.csv, for a spreadsheet (UTF-8 with BOM)."""
    values = _sheet(close_id)
    row, figures = values["row"], values["figures"]
    lines: list[tuple[object, ...]] = [
        ("区分", "項目", "件数", "金額"),
        ("営業日", f"{row.business_date:%Y/%m/%d}", "", ""),
        ("店舗", g.device.store_name, "", ""),
        *([("区分", "トレーニング", "", "")] if row.training else []),
        *([("区分", "再開局により未確定", "", "")] if row.reopened_at else []),
        ("閉局", f"{row.closed_at.astimezone(TOKYO):%Y/%m/%d %H:%M}", "", row.closed_label),
        ("売上", "売上合計(税込)", figures.slips, figures.sales_yen),
        ("売上", "10%対象", "", figures.sales_10_yen),
        ("売上", "10%対象の内消費税等", "", figures.tax_10_yen),
        ("売上", "8%対象", "", figures.sales_8_yen),
        ("売上", "8%対象の内消費税等", "", figures.tax_8_yen),
        ("売上", "伝票取消", figures.void_slips, -figures.void_yen),
        ("売上", "取消後の合計", "", figures.net_yen),
        ("売上", "客数", figures.guests, ""),
        *((t.booked, t.name, t.count, t.sales_yen) for t in figures.types),
        *((f"{t.booked}(取消)", t.name, t.void_count, -t.void_yen) for t in figures.types if t.void_count),
        *(("担当者", p.name, p.count, p.sales_yen) for p in figures.people),
        ("現金", "釣銭準備金", "", row.float_yen),
        ("現金", "現金売上", "", figures.cash_sales),
        ("現金", "現金の取消", "", -figures.cash_voids),
        ("現金", "入出金", "", figures.movements_yen),
        ("現金", "あるべき現金", "", row.expected_yen),
        ("現金", "数えた現金", "", row.counted_yen),
        ("現金", "差異", "", row.difference_yen),
        *(("金種", f"{int(value):,}円", pieces, int(value) * pieces) for value, pieces in row.counts.items()),
        ("現金", "翌営業日の釣銭準備金", "", row.next_float_yen),
        ("備考", row.note.replace("\n", " "), "", ""),
        *(("欠番", number, "", "") for number in figures.unused_numbers),
    ]  # fmt: skip
    return csv_file("日計表(トレーニング)" if row.training else "日計表", lines, row.closed_at)


def _cash_page(form: CashForm | None = None, status: int = 200) -> Response:
    found = _device()
    return render("days/cash.html", form=form or CashForm(formdata=None), status=status,
                  rows=service.movements(db.session(), found, found.business_date), **shared())  # fmt: skip


@blueprint.get("/cash")
@permission("register")
def cash() -> Response:
    """入出金 of the day."""
    device()
    return _cash_page()


@blueprint.post("/cash")
@permission("register")
def cash_submit() -> BaseResponse:
    device()
    found, form = _device(), CashForm()
    if not form.validate():
        return _cash_page(form, 422)
    op_id = parse_id(form.op_id.data) or new_id()
    try:
        service.move_cash(db.session(), found, g.actor, op_id, form.signed_yen, form.reason.data,
                          deliverer().clock.now())  # fmt: skip
    except UserError as error:
        form.add(error)
        return _cash_page(form, error.status)
    flash(f"{form.direction.choices[form.direction.data]}を登録しました。", "success")
    return go(url_for("days.cash"))
