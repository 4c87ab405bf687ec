"""The ledger as an application of its own."""

from __future__ import annotations

from typing import Any

from flask import Flask, g, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from portal.database import bind_company, engine_options
from portal.kernel.clock import Clock, SystemClock
from portal.kernel.errors import UserError
from portal.ledger.accounts.people_views import blueprint as people
from portal.ledger.accounts.service import user_of
from portal.ledger.accounts.views import COOKIE
from portal.ledger.accounts.views import blueprint as accounts
from portal.ledger.api.checks import blueprint as api
from portal.ledger.api.document import blueprint as document
from portal.ledger.database import ledger_db
from portal.ledger.links.views import blueprint as links
from portal.ledger.push.service import is_gate
from portal.ledger.push.views import blueprint as push
from portal.ledger.reservations.booking_views import blueprint as booking
from portal.ledger.reservations.views import blueprint as reservations
from portal.ledger.seats.views import blueprint as seats
from portal.ledger.settings.views import blueprint as shop_settings
from portal.ledger.sites.api import blueprint as site_api
from portal.ledger.sites.views import blueprint as sites
from portal.ledger.timetable.views import blueprint as timetable
from portal.settings import Settings
from portal.web.clock import AppClock
from portal.web.context import go, init_web
from portal.web.live import attributes
from portal.web.sessions import end_quietly

# All that a person with a temporary password may do.
WITH_TEMPORARY = {"ledger_people.password", "ledger_people.change_password", "ledger_accounts.logout"}


class ManagersOnlyError(UserError):
    """A page of アカウント管理 for somebody who is no 管理者 of the shop."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "この操作を行う権限がありません。", "お席トットくんの管理者のアカウントでログインしてください。"
        )


def create_ledger_app(settings: Settings, *, clock: Clock | None = None) -> Flask:
    """The ledger's WSGI application; needs LEDGER_DATABASE_URL in the settings."""
    app = Flask("portal.ledger", template_folder="../templates", static_folder="../static")
    app.config.update(
        SECRET_KEY=settings.secret_key + ":ledger",
        SESSION_COOKIE_NAME="ledger_form",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SQLALCHEMY_DATABASE_URI=settings.ledger_database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(application="ledger"),
        MAX_CONTENT_LENGTH=2 * 1024 * 1024,
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.extensions["clock"] = clock or SystemClock()
    ledger_db.init_app(app)
    end_quietly(app, ledger_db)
    init_web(app)
    app.jinja_env.globals["live"] = attributes
    ours = (
        accounts, people, seats, links, sites, site_api, reservations, booking, timetable, shop_settings, push, api, document,
    )  # fmt: skip
    for blueprint in ours:
        app.register_blueprint(blueprint)

    @app.before_request
    def guard() -> BaseResponse | None:
        g.secure_cookies = settings.secure_cookies
        g.ledger_user = None
        bind_company(ledger_db.session(), None)
        view: Any = app.view_functions.get(request.endpoint or "")
        if request.endpoint == "static":
            return None
        if view is None:
            raise NotFound
        needs = view.permission
        if needs == "token":
            return None
        g.ledger_user = user_of(ledger_db.session(), request.cookies.get(COOKIE, ""), AppClock().now())
        if needs != "public" and g.ledger_user is None:
            # Whoever was logged in is told why the press led here.
            return go(url_for("ledger_accounts.login", ended=1 if COOKIE in request.cookies else None))
        if needs == "public":
            bind_company(ledger_db.session(), None)
        elif g.ledger_user.must_change and request.endpoint not in WITH_TEMPORARY:
            return go(url_for("ledger_people.password"))
        elif needs == "ledger_manager" and g.ledger_user.role != "manager":
            raise ManagersOnlyError
        return None

    @app.context_processor
    def common() -> dict[str, Any]:
        return {
            "ledger_user": g.get("ledger_user"),
            "home_url": url_for("ledger_reservations.index"),
            "product_name": "お席トットくん",
            "is_gate": is_gate(),
        }

    return app


def dispose(app: Flask) -> None:
    """Close the database connections of a ledger that runs by itself."""
    with app.app_context():
        ledger_db.session.remove()
        for engine in ledger_db.engines.values():
            engine.dispose()
