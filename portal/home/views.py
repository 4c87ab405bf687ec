"""TOP."""

from __future__ import annotations

from flask import Blueprint, g, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.home.queries import glance
from portal.web.context import permission, render

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
@permission("login")
def top() -> BaseResponse:
    if g.actor.role == "store_staff":
        return redirect(url_for("register.top"), 303)
    return render("home.html", glance=glance(db.session(), g.actor))
