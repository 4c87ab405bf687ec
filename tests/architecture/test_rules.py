"""Every rule and message of the domain has a test of its name: a function's, or a case's of tests/cases."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

# Sections 1 to 10: links, tables, master and terminals, list, seating, table operations, ledger, points, messages, promises.
IDS = [
    "L1",
    "L2",
    "L3",
    "L4",
    "L5",
    "L6",
    "L7",
    "L8",
    "L9",
    "L10",
    "T1",
    "T2",
    "T3",
    "T4",
    "T5",
    "T6",
    "T7",
    "T8",
    "S1",
    "S2",
    "S3",
    "S4",
    "S5",
    "C0",
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "C6",
    "C7",
    "P1",
    "P2",
    "P3",
    "P4",
    "P5",
    "P6",
    "P7",
    "P8",
    "P9",
    "O1",
    "O2",
    "O3",
    "O4",
    "O5",
    "O6",
    "O7",
    "O8",
    "O9",
    "O10",
    "O11",
    "O12",
    "O13",
    "O14",
    "G1",
    "G2",
    "G3",
    "G4",
    "G5",
    "Y1",
    "Y2",
    "Y3",
    "Y4",
    "Y5",
    "Y6",
    "Y7",
    "M1",
    "M2",
    "M3",
    "M4",
    "M4b",
    "M5",
    "M6",
    "M7",
    "M8",
    "M9",
    "M10",
    "M11",
    "M12",
    "D1",
    "D2",
    "D3",
    "D4",
]


TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Of functions as they are written, of cases as test ids: Y3-cross-M7."""
    found = set()
    for file in TESTS.rglob("test_*.py"):
        found |= set(re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.M))
    for file in (TESTS / "cases").glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as lines:
            found |= {
                f"{row['rule']}-{row['id']}" for row in csv.DictReader(lines) if "rule" in row and "id" in row
            }
    return found


def words(name: str) -> set[str]:
    return set(re.split(r"[_-]", name))


def test_every_rule_and_message_is_named_by_a_test(names: set[str]) -> None:
    named = set().union(*map(words, names))
    assert [known for known in IDS if known not in named] == []


def test_no_test_names_a_rule_that_there_is_not(names: set[str]) -> None:
    letters = {known[0] for known in IDS}
    rules = {
        word
        for name in names
        if name.startswith("test_")
        for word in words(name)
        if re.fullmatch(r"[A-Z]\d+b?", word)
    }
    assert sorted(rule for rule in rules - set(IDS) if rule[0] in letters) == []
