"""Background work: a sweep that finds due lanes and delivers them (D1)."""

from __future__ import annotations

import logging
import threading

from flask import Flask
from sqlalchemy import text

from portal.database import bind_company, db
from portal.factory import create_app
from portal.link.delivery import Deliverer
from portal.settings import Settings

log = logging.getLogger("portal.worker")
SWEEP_SECONDS = 2.0
LANES_AT_ONCE = 200


def sweep(app: Flask) -> int:
    """Deliver every due lane once; the number of lanes tried. A lane that fails does not stop the others."""
    deliverer: Deliverer = app.extensions["deliverer"]
    with app.app_context():
        session = db.session()
        bind_company(session, None)
        due = session.execute(
            text("SELECT company_id, link_id FROM pos.due_lanes(:now, :most)"),
            {"now": deliverer.clock.now(), "most": LANES_AT_ONCE},
        ).all()
        session.rollback()
        for company_id, link_id in due:
            bind_company(session, company_id)
            try:
                deliverer.deliver_once(session, link_id)
            except Exception as error:
                session.rollback()
                log.error("lane %s: %s", link_id, type(error).__name__)
        return len(due)


def run(settings: Settings, stop: threading.Event) -> None:
    """Sweep every two seconds until ``stop``."""
    app = create_app(settings)
    while not stop.is_set():
        try:
            sweep(app)
        except Exception as error:
            log.error("sweep: %s", type(error).__name__)
        stop.wait(SWEEP_SECONDS)
