"""The ledger's own background work: guests' data whose time is over are erased. Never part of the POS's queue."""

from __future__ import annotations

import logging
import threading

from portal.kernel.clock import SystemClock
from portal.ledger.factory import create_ledger_app, dispose
from portal.ledger.guests import purge
from portal.settings import Settings

log = logging.getLogger("portal.ledger.upkeep")
EVERY_SECONDS = 3600.0


def keep(settings: Settings, stop: threading.Event) -> None:
    """Erase what is past retention now and every hour, until ``stop``. Several at once do no harm."""
    app = create_ledger_app(settings)
    while not stop.is_set():
        try:
            purge(app, SystemClock())
        except Exception as error:
            log.error("retention: %s", type(error).__name__)
        stop.wait(EVERY_SECONDS)
    dispose(app)


def start(settings: Settings, stop: threading.Event) -> threading.Thread | None:
    """Beside a worker that has the ledger's database; None where the ledger runs elsewhere."""
    if settings.ledger_database_url is None:
        return None
    thread = threading.Thread(target=keep, args=(settings, stop), name="ledger-upkeep", daemon=True)
    thread.start()
    return thread
