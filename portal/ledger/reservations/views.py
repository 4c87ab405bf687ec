"""予約台帳: the list of a day or of a search, its CSV, the day sheet for the printer."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import quote

from flask import Blueprint, Response, g, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.business_day import TOKYO, at_clock, business_date, day_bounds
from portal.kernel.phones import mask_phone
from portal.ledger.database import ledger_db
from portal.ledger.events import Author, record
from portal.ledger.models import Shop
from portal.ledger.push.service import shop_live
from portal.ledger.reservations.forms import SORTS, STATUSES, SearchForm
from portal.ledger.reservations.listing import (
    PER_PAGE,
    Criteria,
    all_rows,
    find_rows,
    shown_name,
    status_word,
    to_csv,
)
from portal.ledger.reservations.queries import seats_of
from portal.ledger.reservations.searches import open_search, seal_search
from portal.web.clock import AppClock
from portal.web.context import go, permission, render
from portal.web.live import live

blueprint = Blueprint("ledger_reservations", __name__)
clock = AppClock()
# The fields of a search that its address keeps.
KEPT = ("name", "phone", "start", "end", "status", "sort", "page")


def this_shop() -> Shop:
    return ledger_db.session().get_one(Shop, g.ledger_user.shop_id)


def asked_day(shop: Shop, value: str | None) -> date:
    """The business day that an address names; today's where it names none."""
    try:
        found = date.fromisoformat(value or "")
    except ValueError:
        found = date(1, 1, 1)
    if not 2000 <= found.year <= 2100:
        return business_date(clock.now(), shop.day_boundary_minutes)
    return found


def _page(shop: Shop, wanted: Criteria, page: int, *, form: SearchForm, day: date | None, status: int = 200) -> Response:  # fmt: skip
    session = ledger_db.session()
    rows, page, total = find_rows(session, shop.id, wanted, page)
    shown = day or business_date(clock.now(), shop.day_boundary_minutes)
    return render(
        "ledger/reservations.html", "rows", status=status, rows=rows, seats=seats_of(session, rows), total=total, page=page,
        pages=max(1, -(-total // PER_PAGE)), per=PER_PAGE, day=shown, in_day=day is not None, form=form, wanted=wanted,
        previous=shown - timedelta(days=1), following=shown + timedelta(days=1), now=clock.now(), sorts=SORTS,
        today=business_date(clock.now(), shop.day_boundary_minutes), statuses=STATUSES,
        status_of=status_word, name_of=shown_name, mask=mask_phone,
    )  # fmt: skip


def _of_day(shop: Shop, day: date) -> Criteria:
    start, end = day_bounds(day, shop.day_boundary_minutes)
    choice, sort = request.args.get("status", ""), request.args.get("sort", "time")
    return Criteria(
        start, end, status=choice if choice in STATUSES else "", sort=sort if sort in SORTS else "time"
    )


@blueprint.get("/")
@permission("ledger")
@live(shop_live)
def index() -> Response:
    shop = this_shop()
    typed = open_search(shop.id, request.args["found"], clock.now()) if "found" in request.args else None
    if typed is not None:
        form = _checked(MultiDict(typed))
        return _page(shop, _criteria(shop, form), form.page.data or 1, form=form, day=None)
    day = asked_day(shop, request.args.get("day"))
    page = request.args.get("page", "1")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1
    wanted = _of_day(shop, day)
    form = SearchForm(formdata=None, status=wanted.status, sort=wanted.sort)
    return _page(shop, wanted, number, form=form, day=day)


def _criteria(shop: Shop, form: SearchForm) -> Criteria:
    start = at_clock(form.start.data, shop.day_boundary_minutes) if form.start.data else None
    end = (
        at_clock(form.end.data + timedelta(days=1), shop.day_boundary_minutes)
        if form.end.data is not None
        else None
    )
    return Criteria(start, end, form.name_key, form.phone.data or "", form.status.data or "", form.sort.data or "time")  # fmt: skip


def _checked(typed: MultiDict[str, str] | None = None) -> SearchForm:
    form = SearchForm() if typed is None else SearchForm(formdata=typed)
    if form.validate() and form.start.data and form.end.data and form.start.data > form.end.data:
        form.fail("end", "来店日(終了)は、来店日(開始)以降の日付を入力してください。")
    return form


@blueprint.post("/")
@permission("ledger")
def search() -> BaseResponse:
    """Search by name, phone, dates and status; nothing of it can be read in the address.

    Leads to an address, so that back from a reservation shows the search again and not the browser's error.
    """
    shop, form = this_shop(), _checked()
    if form.messages:
        return _page(shop, _of_day(shop, asked_day(shop, None)), 1, form=form, day=None, status=422)
    typed = {key: request.form[key] for key in KEPT if request.form.get(key)}
    return go(url_for("ledger_reservations.index", found=seal_search(shop.id, typed, clock.now())))


@blueprint.post("/reservations.csv")
@permission("ledger")
def export() -> BaseResponse:
    """CSV of what the list shows; who took guests' data out is remembered."""
    shop, form = this_shop(), _checked()
    if form.messages:
        return _page(shop, _of_day(shop, asked_day(shop, None)), 1, form=form, day=None, status=422)
    wanted = _criteria(shop, form)
    session, now = ledger_db.session(), clock.now()
    rows = all_rows(session, shop.id, wanted)
    body = to_csv(rows, seats_of(session, rows), form.encoding.data or "utf-8-sig")
    shop_id, company_id, count = shop.id, shop.company_id, len(rows)
    session.rollback()
    run_write(
        session,
        lambda s: record(
            s, company_id=company_id, shop_id=shop_id, at=now, by=Author(g.ledger_user.person), action="exported",
            after={"count": count},
        ),
    )  # fmt: skip
    name = f"予約_{now.astimezone(TOKYO):%Y%m%d%H%M}.csv"
    charset = "shift_jis" if form.encoding.data == "cp932" else "utf-8"
    response = Response(body, mimetype=f"text/csv; charset={charset}")
    response.headers["Content-Disposition"] = f"attachment; filename=reservations.csv; filename*=UTF-8''{quote(name)}"  # fmt: skip
    return response


@blueprint.get("/print")
@permission("ledger")
def day_sheet() -> Response:
    """The day on paper: what the floor needs, in the order it happens. No phone numbers."""
    shop = this_shop()
    day = asked_day(shop, request.args.get("day"))
    start, end = day_bounds(day, shop.day_boundary_minutes)
    session = ledger_db.session()
    rows = [r for r in all_rows(session, shop.id, Criteria(start, end)) if r.status != "cancelled"]
    guests = [r for r in rows if r.kind != "block"]
    return render("ledger/day_sheet.html", shop=shop, day=day, rows=rows, seats=seats_of(session, rows), now=clock.now(),
                  parties=len(guests), heads=sum(r.party_size for r in guests), status_of=status_word,
                  name_of=shown_name)  # fmt: skip
