"""How a request's database session ends."""

from __future__ import annotations

import logging

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DBAPIError

log = logging.getLogger("portal.web")


def end_quietly(app: Flask, database: SQLAlchemy) -> None:
    """Call after ``init_app``: what a request read is answered although its ROLLBACK finds the database gone (D1).

    The extension's own teardown would raise there, and a finished page became a bare "Internal Server Error".
    """

    @app.teardown_appcontext
    def end(_error: BaseException | None) -> None:
        if not database.session.registry.has():
            return
        session = database.session()
        try:
            session.close()
        except DBAPIError as error:
            log.error("the database was gone at the end of a request: %s", type(error).__name__)
            session.invalidate()
