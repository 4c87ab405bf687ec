"""Composition: the POS portal, with the ledger beside it or behind a network."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from flask import Flask, g, redirect, request, url_for
from flask_login import LoginManager, current_user
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response as BaseResponse

import portal
from portal import jobs, tasks
from portal.database import bind_company, db, engine_options
from portal.health import metrics
from portal.identity import importer as staff_csv
from portal.identity.service import Actor, actor_of
from portal.identity.views import COOKIE
from portal.kernel.clock import Clock, SystemClock
from portal.ledger.database import ledger_db
from portal.ledger.factory import create_ledger_app
from portal.link.client import LedgerClient, TokenBox
from portal.link.delivery import Deliverer
from portal.notices import service as notices_service
from portal.register.resume import keep_typed
from portal.settings import Settings
from portal.stores import importer as store_csv
from portal.tables import importer as table_csv
from portal.terminal_api import access as terminal_access
from portal.web import menu
from portal.web.context import init_web, is_htmx
from portal.web.live import attributes
from portal.web.sessions import end_quietly

RIGHTS = {
    "company": {"company_admin"},
    "manage": {"company_admin", "store_manager"},
    "login": {"company_admin", "store_manager", "store_staff"},
    "register": {"company_admin", "store_manager", "store_staff"},
}
# What can be imported from CSV: registered by being imported.
IMPORTERS = (staff_csv.STAFF, store_csv.STORES, table_csv.TABLES)


def _wake(company_id: int, link_id: uuid.UUID) -> None:
    """A request left something over: a worker sends it now, not at its next sweep. Best effort."""
    jobs.defer_soon(tasks.link.deliver, company_id=company_id, once=f"lane:{link_id}", link_id=str(link_id))


def _back(*, typed: bool) -> str:
    """Where to go after a login that had to come first; ``typed``: a posted form is kept for then."""
    if is_htmx():
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
        return page.path + (f"?{page.query}" if page.query else "")
    if request.method == "GET":
        return request.full_path.rstrip("?")
    return keep_typed() if typed and request.form else ""


def create_app(
    settings: Settings | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
) -> Flask:
    """The POS portal. Without ``transport`` the ledger is called at LEDGER_URL, or in this process."""
    settings = settings or Settings.from_env()
    app = Flask("portal", template_folder="templates", static_folder="static")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="portal_form",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(pool_size=max(5, settings.web_threads)),
        MAX_CONTENT_LENGTH=5 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=2 * 1024 * 1024,
        WTF_CSRF_TIME_LIMIT=None,
        LEDGER_PUBLIC_URL=settings.ledger_public_url,
        SMTP_URL=settings.smtp_url,
        MAIL_FROM=settings.mail_from,
        METRICS_TOKEN=settings.metrics_token,
        WEBHOOK_PRIVATE=settings.webhook_private,
    )
    db.init_app(app)
    end_quietly(app, db)
    app.extensions["metrics"] = counters = metrics.install(app)
    init_web(app)
    app.jinja_env.globals["live"] = attributes
    app.extensions["json_problems"] = (terminal_access.PREFIX, terminal_access.http_problem)
    manager = LoginManager(app)
    manager.session_protection = "basic"
    for blueprint in menu.blueprints(portal, without="portal.ledger"):
        app.register_blueprint(blueprint)
    lines = menu.entries(app.view_functions)
    clock = clock or SystemClock()
    if transport is None and settings.ledger_url is None:
        ledger = create_ledger_app(settings)
        app.extensions["ledger_app"] = ledger
        transport = httpx.WSGITransport(app=ledger, raise_app_exceptions=False)
    app.extensions["deliverer"] = Deliverer(
        LedgerClient(settings.ledger_url, transport), TokenBox(settings.token_key), clock, wake=_wake
    )
    app.extensions["deliverer"].client.tell = counters.answered

    @manager.request_loader  # type: ignore[untyped-decorator]
    def load(_: object) -> Actor | None:
        actor = actor_of(db.session(), request.cookies.get(COOKIE, ""), SystemClock().now())
        g.actor = actor
        return actor

    @app.before_request
    def guard() -> BaseResponse | None:
        """One order for every request: who, then whether; the view then reads, decides and commits once."""
        if request.endpoint == "static":
            return None
        view: Any = app.view_functions.get(request.endpoint or "")
        if view is None:
            # No such path, or not with this method: Flask knows which.
            raise request.routing_exception or NotFound
        needs = view.permission
        g.actor = None
        bind_company(db.session(), None)
        if needs in ("public", "token"):
            return None
        if not current_user.is_authenticated:
            back = _back(typed=needs == "register")
            where = url_for("identity.login") + (
                "?" + urlencode({"next": back}) if back not in ("", "/") else ""
            )
            if is_htmx():
                response = BaseResponse("", 200)
                response.headers["HX-Redirect"] = where
                return response
            return redirect(where, 303)
        if g.actor.role not in RIGHTS[needs]:
            raise Forbidden
        return None

    def portal_menu(actor: Actor) -> list[tuple[str, list[tuple[str, str]]]]:
        def allowed(endpoint: str) -> bool:
            view: Any = app.view_functions[endpoint]
            return actor.role in RIGHTS[view.permission]

        return menu.menu_for(lines, allowed, url_for)

    @app.context_processor
    def common() -> dict[str, Any]:
        actor = g.get("actor")
        return {
            "portal_menu": portal_menu(actor) if actor else [],
            "company_name": actor.company_name if actor else "",
            "home_url": url_for("home.top"),
            "product_name": "USENレジ",
            "device": None,
            "bell_count": (lambda: notices_service.unread(db.session(), actor)) if actor else (lambda: 0),
        }

    return app


def dispose(app: Flask) -> None:
    """Close what the application holds open: database connections and the way to the ledger."""
    app.extensions["deliverer"].client.close()
    for each, database in ((app, db), (app.extensions.get("ledger_app"), ledger_db)):
        if each is not None:
            with each.app_context():
                database.session.remove()
                for engine in database.engines.values():
                    engine.dispose()


def create_wsgi(settings: Settings) -> Any:
    """One WSGI callable: the portal at /, the ledger at /ledger where it lives in this process."""
    app = create_app(settings)
    ledger = app.extensions.get("ledger_app")
    return DispatcherMiddleware(app, {"/ledger": ledger}) if ledger is not None else app
