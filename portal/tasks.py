"""Every module that defines tasks, imported once so that a worker knows them all."""

from portal import upkeep
from portal.link import tasks as link
from portal.rollout import run as rollout

__all__ = ["link", "rollout", "upkeep"]
