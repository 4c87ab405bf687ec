"""起動ツール → ブックマーク: on POS and ターミナル, never on HANDY (S5)."""

from __future__ import annotations

import uuid
from urllib.parse import urljoin

from flask import Blueprint, Response, current_app, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.launch import service
from portal.launch.forms import BookmarkForm
from portal.register.floor_views import device, shared
from portal.register.service import Device
from portal.services import deliverer
from portal.web.context import go, permission, render

blueprint = Blueprint("launch", __name__, url_prefix="/register/tools")
LEDGER_TITLE = "お席トットくん"


def _device() -> Device:
    """The terminal; a HANDY has no 起動ツール."""
    found = device(ready=False)
    if found.kind == "handy":
        raise NotFoundError
    return found


@blueprint.get("/")
@permission("register")
def index() -> Response:
    """起動ツール."""
    _device()
    return render("launch/index.html", **shared())


def _page(form: BookmarkForm | None = None, status: int = 200) -> Response:
    found = _device()
    rows = service.bookmarks_of(db.session(), found)
    if form is None:
        form = BookmarkForm(formdata=None)
        if found.link_id is not None and all(row.title != LEDGER_TITLE for row in rows):
            # What the manual has the person type (2.4): one press then.
            form.title.data = LEDGER_TITLE
            form.url.data = urljoin(
                request.url_root, current_app.config["LEDGER_PUBLIC_URL"].rstrip("/") + "/login"
            )
    one_press = found.link_id is not None and not found.training and g.actor.role != "store_staff"
    return render(
        "launch/bookmarks.html", rows=rows, form=form, one_press=one_press, status=status, **shared()
    )


@blueprint.get("/bookmarks")
@permission("register")
def bookmarks() -> Response:
    return _page()


def _save(bookmark_id: uuid.UUID | None) -> BaseResponse | tuple[BookmarkForm, int]:
    found = _device()
    form = BookmarkForm()
    op_id = parse_id(form.op_id.data)
    if not form.validate():
        return form, 422
    try:
        service.save(db.session(), found, g.actor, op_id or new_id(), bookmark_id, title=form.title.data,
                     url=form.url.data, now=deliverer().clock.now())  # fmt: skip
    except UserError as error:
        if error.status == 404:
            raise
        form.add(error)
        return form, error.status
    flash(f"ブックマーク「{form.title.data}」を登録しました。", "success")
    return go(url_for("launch.bookmarks"))


@blueprint.post("/bookmarks")
@permission("register")
def create() -> BaseResponse:
    """「OK」."""
    done = _save(None)
    return done if isinstance(done, BaseResponse) else _page(*done)


def _edit(bookmark_id: uuid.UUID, form: BookmarkForm | None = None, status: int = 200) -> Response:
    row = service.get_bookmark(db.session(), _device(), bookmark_id)
    return render("launch/bookmark.html", row=row, form=form or BookmarkForm(formdata=None, obj=row), new_op=new_id,
                  status=status, **shared())  # fmt: skip


@blueprint.get("/bookmarks/<uuid:bookmark_id>")
@permission("register")
def edit(bookmark_id: uuid.UUID) -> Response:
    return _edit(bookmark_id)


@blueprint.post("/bookmarks/<uuid:bookmark_id>")
@permission("register")
def update(bookmark_id: uuid.UUID) -> BaseResponse:
    service.get_bookmark(db.session(), _device(), bookmark_id)
    done = _save(bookmark_id)
    return done if isinstance(done, BaseResponse) else _edit(bookmark_id, *done)


@blueprint.post("/bookmarks/<uuid:bookmark_id>/remove")
@permission("register")
def remove(bookmark_id: uuid.UUID) -> BaseResponse:
    found = _device()
    op_id = parse_id(request.form.get("op_id")) or new_id()
    service.remove(db.session(), found, g.actor, op_id, bookmark_id, deliverer().clock.now())
    flash("ブックマークを削除しました。", "success")
    return go(url_for("launch.bookmarks"))
