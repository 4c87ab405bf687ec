"""Every module that defines tasks, imported once so that a worker knows them all."""

from portal import upkeep
from portal.link import tasks as link

__all__ = ["link", "upkeep"]
