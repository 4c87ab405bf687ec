"""The link's parts as the running application holds them."""

from __future__ import annotations

from typing import cast

from flask import current_app

from portal.link.delivery import Deliverer


def deliverer() -> Deliverer:
    """The application's client, tokens and clock."""
    return cast(Deliverer, current_app.extensions["deliverer"])
