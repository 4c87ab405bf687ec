"""Each planted fault of ``make mutants`` still has its place in the product: it runs rarely, the product changes often."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.sim.mutate import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_changes_exactly_one_place(name: str) -> None:
    module, sound, planted = MUTANTS[name]
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin
    assert Path(found.origin).read_text().count(sound) == 1
    assert sound != planted
