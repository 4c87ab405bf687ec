"""連携状況 → 連携状況一覧: for the company and for a store."""

from __future__ import annotations

import uuid

from flask import Response, g, request
from sqlalchemy import select

from portal.database import db
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.fmt import jdatetime
from portal.link.models import DeliveryLane
from portal.operations import health as service
from portal.operations import queries
from portal.operations.delivery_views import blueprint
from portal.operations.forms import HealthSearch
from portal.web.context import permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu

__all__ = ["blueprint"]
PER_PAGE = 50


def _found() -> tuple[HealthSearch, list[service.Health], list[service.Health]]:
    """The search, every linked store in scope, and those that the search names, in its order."""
    session = db.session()
    form = HealthSearch(request.args)
    form.validate()
    ids = [store.id for store in visible_stores(session, g.actor)]
    stores = queries.find_stores(session, ids, form.name.data or "")
    every = [row for row in service.health(session, stores) if row.ready.ours and row.ready.link is not None]
    wanted = form.show.data or ""
    found = [
        row for row in every if not wanted or (row.troubles if wanted == "any" else wanted in row.troubles)
    ]
    return form, every, service.ordered(found, form.sort.data or "trouble")


@blueprint.get("/health")
@in_menu("連携状況", 10, "連携状況一覧")
@permission("manage")
def health() -> Response:
    """Each line leads to the screen that puts it right."""
    form, every, rows = _found()
    pages = max(1, -(-len(rows) // PER_PAGE))
    page = min(pages, max(1, request.args.get("page", 1, type=int)))
    sums = {
        "stores": len(every), "well": sum(not row.troubles for row in every), "owed": sum(row.owed for row in every),
        "refused": sum(row.refused for row in every), "down": sum(row.down_since is not None for row in every),
        "differences": sum(row.differences for row in every), "returns": sum(row.returns for row in every),
    }  # fmt: skip
    search = {"name": form.name.data or "", "show": form.show.data or "", "sort": form.sort.data or ""}
    return render("operations/health.html", "results", form=form, rows=rows[(page - 1) * PER_PAGE : page * PER_PAGE],
                  total=len(rows), page=page, pages=pages, per=PER_PAGE, sums=sums, search=search)  # fmt: skip


@blueprint.get("/health.csv")
@permission("manage")
def health_csv() -> Response:
    _, _, rows = _found()
    head = ("店舗コード", "店舗名", "連携状態", "準備", "最終テーブル同期", "マッピング済み", "テーブル数", "マスタ未同期の端末",
            "接続できない日時", "送信待ち", "未連携", "最も古い", "日次照合の差異", "ポイント返却")  # fmt: skip
    return csv_file("連携状況", [head, *(
        (
            row.store.code, row.store.name, queries.state_label(row.ready.link), f"{row.ready.done}/5",
            jdatetime(row.ready.synced), row.ready.check.mapped if row.ready.check else "", row.ready.tables, row.stale,
            jdatetime(row.down_since), row.owed, row.refused, jdatetime(row.oldest), row.differences, row.returns,
        )
        for row in rows
    )])  # fmt: skip


@blueprint.get("/health/<uuid:store_id>")
@permission("manage")
def store_health(store_id: uuid.UUID) -> Response:
    """One store: set-up, syncs by terminal, what is owed, the last day's check, open point returns."""
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    row = service.health(session, [store])[0]
    link = row.ready.link
    lane = session.scalar(select(DeliveryLane).where(DeliveryLane.link_id == link.id)) if link else None
    return render(
        "operations/store_health.html", row=row, store=store, lane=lane, state_label=queries.state_label
    )
