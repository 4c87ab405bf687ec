"""Every module that defines tasks, imported once so that a worker knows them all."""

from portal import upkeep
from portal.daycheck import tasks as daycheck
from portal.imports import tasks as imports
from portal.link import tasks as link
from portal.mapping import tasks as mapping
from portal.notices import tasks as notices
from portal.rollout import run as rollout

__all__ = ["daycheck", "imports", "link", "mapping", "notices", "rollout", "upkeep"]
