"""``make bench-mapping``: the mapping check of 2,000 stores × 50 tables against a loop that only folds their names.

The check gets the contract's answers as objects, as the client hands them over; every tenth name is spoilt in one of
seven ways. Ratio = check / loop, min / median / max of 5 runs. Goal: ≤ 3.
"""

from __future__ import annotations

import csv
import random
import statistics
import time
import uuid
from pathlib import Path

from portal.kernel import names
from portal.link.contract import KnownTable, MappingItem, MappingState
from portal.mapping.domain import OurTable, compare

STORES, TABLES, REPEAT = 2000, 50, 5


def spoilt() -> list[tuple[str, str]]:
    with (Path(__file__).parents[1] / "cases/names.csv").open(encoding="utf-8") as file:
        return [(row["table"], row["seat"]) for row in csv.DictReader(file) if row["kind"] != "distinct"]


def world(seed: int) -> list[tuple[list[OurTable], MappingState]]:
    chance = random.Random(seed)
    cases = spoilt()
    found = []
    for number in range(STORES):
        # The store's number is in each name: nothing is gained by knowing another store's names.
        mapped = [f"{letter}{n}-{number}" for letter in "PQRSU" for n in range(1, 10)]
        pairs = [
            (f"{number}号{table}", f"{number}号{seat}")
            for table, seat in chance.sample(cases, TABLES - len(mapped))
        ]
        ours = [OurTable(uuid.uuid4(), name) for name in [*mapped, *(table for table, _ in pairs)]]
        state = MappingState.model_construct(
            version=1, table_list_version=1, seats=[*mapped, *(seat for _, seat in pairs)],
            unmapped_seats=[seat for _, seat in pairs],
            mapped=[MappingItem.model_construct(table_id=t.id, seat_name=t.name) for t in ours[: len(mapped)]],
            tables=[KnownTable.model_construct(id=t.id, name=t.name, seat_name=t.name if i < len(mapped) else None, lost=False)
                    for i, t in enumerate(ours)],
        )  # fmt: skip
        found.append((ours, state))
    return found


def main() -> None:
    ratios = []
    for run in range(REPEAT):
        stores = world(run)
        began = time.perf_counter()
        pairs = sum(len(compare(ours, state).pairs) for ours, state in stores)
        check = time.perf_counter() - began
        began = time.perf_counter()
        for ours, state in stores:
            for table in ours:
                names.fold(table.name)
            for seat in state.seats:
                names.fold(seat)
        loop = time.perf_counter() - began
        ratios.append(check / loop)
        print(f"check {check:.2f} s, loop {loop:.2f} s, {pairs:,} pairs found of {STORES * 5:,}")
    print(f"mapping_check      <= 3.00  ratio {min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}   {STORES:,} stores x {TABLES} tables")  # fmt: skip


if __name__ == "__main__":
    main()
