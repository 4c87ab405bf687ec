"""CSV as Japanese offices know it: read whatever the spreadsheet saved, write what it can open."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from portal.kernel.business_day import TOKYO

ENCODINGS = {"utf-8-sig": "UTF-8(BOM付き)", "cp932": "Shift_JIS(CP932)"}
MOST_ROWS = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?[0-9][0-9,]*(\.[0-9]+)?")
codecs.register_error(
    "geta", lambda error: ("〓", error.end) if isinstance(error, UnicodeEncodeError) else ("", 0)
)


class CsvError(ValueError):
    """A file that cannot be read; the text is for the screen."""


def escape(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula: = + - @ at its start get an apostrophe before them."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def unescape(cell: str) -> str:
    """What ``escape`` added is taken away again, so that an exported file can be read back."""
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and cell[1] in _FORMULA else cell


def write(rows: Iterable[Sequence[object]], encoding: str = "utf-8-sig") -> bytes:
    """Rows as CSV with CRLF; in cp932 a character that it lacks becomes 〓."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([escape(cell) for cell in row] for row in rows)
    return out.getvalue().encode(encoding, "geta")


def file_name(what: str, now: datetime) -> str:
    """対象_YYYYMMDDHHMM.csv, in Tokyo's time."""
    return f"{what}_{now.astimezone(TOKYO):%Y%m%d%H%M}.csv"


def decode(data: bytes, encoding: str = "auto") -> tuple[str, str]:
    """Text and the encoding it was read in; ``auto`` tries UTF-8, then CP932. Raises CsvError."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _checked(data.decode("utf-16", "replace")), "utf-16"
    for name in ("utf-8-sig", "cp932") if encoding == "auto" else (encoding,):
        try:
            return _checked(data.decode(name)), name
        except UnicodeDecodeError:
            continue
    raise CsvError(
        "文字コードを判別できませんでした。UTF-8またはShift_JISで保存し、もう一度選択してください。"
    )


def _checked(text: str) -> str:
    if "\0" in text:
        raise CsvError("CSVではないファイルです。表計算ソフトで「CSV」形式で保存してから選択してください。")
    return text


def read(text: str, *, most: int = MOST_ROWS) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows with their line numbers; commas, or tabs where it was pasted from a spreadsheet.

    Empty lines are skipped. Raises CsvError, also where there are more than ``most`` rows.
    """
    first = text.lstrip("\ufeff\r\n").split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter="\t" if "\t" in first else ","
    )
    header: list[str] | None = None
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            cells = [unescape(cell) for cell in cells]
            if header is None:
                header = [cell.strip() for cell in cells]
                continue
            rows.append((reader.line_num, cells))
            if len(rows) > most:
                raise CsvError(f"{most:,}行を超えています。ファイルを分けて登録してください。")
    except csv.Error:
        raise CsvError(
            f'{reader.line_num:,}行目をCSVとして読み取れません。引用符(")の対応をご確認ください。'
        ) from None
    if header is None:
        raise CsvError("内容がありません。1行目に見出し、2行目からデータを入力してください。")
    return header, rows
