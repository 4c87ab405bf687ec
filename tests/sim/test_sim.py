"""A share of ``make sim`` in every run: the link loses and doubles nothing (D1, D2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portal import migrate
from portal.embedded import EmbeddedPostgres
from tests.sim.__main__ import database
from tests.sim.run import Stage, run_seed, stage

SHARE, AT_ONCE = 200, 20


@pytest.fixture(scope="module")
def made(server: EmbeddedPostgres) -> Iterator[Stage]:
    migrate.ensure_roles(server.url("postgres", "postgres"), owner=True)
    built = stage(database(server, "simulation"))
    yield built
    built.close()


@pytest.mark.parametrize("first", range(1, SHARE + 1, AT_ONCE))
def test_D1_D2_both_systems_agree_with_the_rules(made: Stage, first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        run_seed(made, seed)
