"""店舗管理 → 店舗個別管理 → レシート設定: 登録番号 and what stands on the receipt."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from portal.audit.models import record
from portal.checkout.menu_forms import ReceiptForm
from portal.checkout.models import ReceiptSetting
from portal.database import db, run_write
from portal.identity.service import Actor, store_in_scope, visible_stores
from portal.kernel.clock import SystemClock
from portal.kernel.errors import ConflictError, UserError
from portal.kernel.ids import parse_id
from portal.stores.models import Company, Store
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("receipts", __name__, url_prefix="/stores/receipts")
clock = SystemClock()
FIELDS = ("heading", "address", "phone", "invoice_number", "footer")


@blueprint.get("/")
@in_menu("店舗管理", 70, "レシート設定")
@permission("manage")
def index() -> BaseResponse:
    stores = visible_stores(db.session(), g.actor)
    chosen = parse_id(request.args.get("store_id"))
    if chosen is None and len(stores) == 1:
        chosen = stores[0].id
    if chosen is None:
        return render("menu/receipt_choose.html", stores=stores)
    return redirect(url_for("receipts.store", store_id=chosen), 303)


def _page(store_id: uuid.UUID, form: ReceiptForm | None = None, status: int = 200) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    own = session.get(ReceiptSetting, found.id)
    company = session.get_one(Company, found.company_id)
    if form is None:
        values = {name: getattr(own, name) for name in FIELDS} if own else {}
        form = ReceiptForm(formdata=None, company_number=company.invoice_number, **values)
    return render("menu/receipt.html", store=found, stores=visible_stores(session, g.actor), form=form,
                  revision=own.revision if own else 0, company=company, status=status,
                  may_company=g.actor.role == "company_admin")  # fmt: skip


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    return _page(store_id)


def save(
    session: Session, actor: Actor, store: Store, values: dict[str, Any], company_number: str | None, revision: int,
    now: datetime,
) -> None:  # fmt: skip
    """The store's receipt; ``company_number`` None leaves the company's alone. Raises ConflictError on another revision."""
    session.get_one(Store, store.id, with_for_update=True)
    own = session.get(ReceiptSetting, store.id, populate_existing=True)
    if (own.revision if own else 0) != revision:
        raise ConflictError(
            "ほかの担当者がレシート設定を変更しました。",
            "現在の内容を確認し、必要であればもう一度変更してください。",
        )
    before = {name: getattr(own, name) for name in FIELDS} if own else None
    if own is None:
        session.add(ReceiptSetting(store_id=store.id, company_id=store.company_id, **values))
    else:
        for name, value in values.items():
            setattr(own, name, value)
        own.revision += 1
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="receipt_setting_saved",
           target=store.name, actor_id=actor.id, actor_label=actor.name, before=before, after=values)  # fmt: skip
    company = session.get_one(Company, store.company_id)
    if company_number is not None and company.invoice_number != company_number:
        record(session, company_id=store.company_id, at=now, action="invoice_number_saved", target=company.name,
               actor_id=actor.id, actor_label=actor.name, before={"invoice_number": company.invoice_number},
               after={"invoice_number": company_number})  # fmt: skip
        company.invoice_number = company_number


@blueprint.post("/<uuid:store_id>")
@permission("manage")
def update(store_id: uuid.UUID) -> BaseResponse:
    store_in_scope(db.session(), g.actor, store_id)
    form = ReceiptForm()
    status = 422
    if form.validate():
        values = {name: form.data[name] or "" for name in FIELDS}
        number = str(form.company_number.data or "") if g.actor.role == "company_admin" else None
        try:
            run_write(
                db.session(),
                lambda s: save(s, g.actor, store_in_scope(s, g.actor, store_id), values, number,
                               int(form.revision.data or 0), clock.now()),
            )  # fmt: skip
        except UserError as error:
            status = error.status
            form.add(error)
        else:
            flash("レシート設定を登録しました。次の印刷から反映されます。", "success")
            return go(url_for("receipts.store", store_id=store_id))
    return _page(store_id, form, status)
