"""The running application's clock."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from flask import current_app

from portal.kernel.clock import Clock


class AppClock:
    """Asks the application that serves the request, so that tests and the simulation pass a clock in."""

    def now(self) -> datetime:
        return cast(Clock, current_app.extensions["clock"]).now()
