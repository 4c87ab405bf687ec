"""A CSV read by the rules of a form: one message for each cell that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.kernel.csvfile import CsvError, read
from portal.web.forms import Form

MOST_FAULTS = 2000


@dataclass(frozen=True)
class Fault:
    """A cell, or with an empty column a row, that cannot be taken."""

    line: int
    column: str
    message: str


@dataclass(frozen=True)
class Row:
    """A row's values by field; a column that the file lacks, and an empty cell that may be empty, are left out."""

    line: int
    values: dict[str, Any]


@dataclass
class Sheet:
    """What a file says, before it is compared with what there is."""

    header: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fail(self, line: int, column: str, message: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(line, column, message))


def parse(form: Form, columns: Mapping[str, str], text: str, keys: tuple[str, ...]) -> Sheet:
    """Read ``text``. ``columns``: field of ``form`` → heading. ``keys``: fields that name a row; needed and unique.

    Raises CsvError where the file as a whole cannot be used.
    """
    header, lines = read(text)
    by_heading = {heading: name for name, heading in columns.items()}
    unknown = [heading for heading in header if heading and heading not in by_heading]
    missing = [columns[name] for name in keys if columns[name] not in header]
    if missing or len(unknown) == len(header):
        raise CsvError(
            f"見出しの行に「{'」「'.join(missing or columns.values())}」がありません。1行目に見出しを入れてください。"
        )
    if unknown:
        raise CsvError(
            f"見出し「{'」「'.join(unknown[:5])}」は使用できません。使用できる見出し：{'、'.join(columns.values())}"
        )
    if len(set(header)) != len(header):
        raise CsvError("同じ見出しの列が2つ以上あります。1つにしてください。")
    if not lines:
        raise CsvError("データの行がありません。2行目からデータを入力してください。")
    sheet = Sheet(header=header, cells=[cells for _, cells in lines[:5]])
    fields = [
        (heading, by_heading[heading], form._fields[by_heading[heading]]) for heading in header if heading
    ]
    seen: dict[tuple[Any, ...], int] = {}
    for line, cells in lines:
        if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            sheet.fail(line, "", "列の数が見出しより多くなっています。カンマや引用符をご確認ください。")
            continue
        values: dict[str, Any] = {}
        good = True
        for index, (heading, name, found) in enumerate(fields):
            cell = cells[index] if index < len(cells) else ""
            if not cell.strip() and name not in keys:
                continue
            try:
                values[name] = found.clean(cell)
            except ValueError as error:
                good = False
                sheet.fail(line, heading, str(error))
        if not good:
            continue
        key = tuple(values[name] for name in keys)
        if key in seen:
            sheet.fail(
                line, columns[keys[-1]], f"{seen[key]:,}行目と重複しています。どちらか1行にしてください。"
            )
            continue
        seen[key] = line
        sheet.rows.append(Row(line, values))
    return sheet
