"""CSV as spreadsheets save it, and as they must not read it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portal.kernel.csvfile import CsvError, decode, escape, file_name, read, unescape, write


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1+1", "'=1+1"), ("+81", "'+81"), ("@x", "'@x"), ("-x", "'-x"), ("-5", "-5"), ("-1,200", "-1,200"), ("A1", "A1"),
     ("\t=1", "'\t=1"), (None, ""), (12, "12")],
)  # fmt: skip
def test_a_cell_is_no_formula(cell: object, written: str) -> None:
    assert escape(cell) == written
    assert unescape(written) == ("" if cell is None else str(cell))


def test_what_is_written_is_read_again_in_both_encodings() -> None:
    rows = [["店舗コード", "店舗名"], ["001", '髙島屋①, "本店"\n2階'], ["002", "=cmd|x"]]
    for encoding in ("utf-8-sig", "cp932"):
        text, used = decode(write(rows, encoding))
        assert used == encoding
        header, found = read(text)
        assert header == rows[0]
        assert [cells for _, cells in found] == rows[1:]
    assert "〓" in decode(write([["鮨🍣"]], "cp932"))[0]


def test_a_paste_from_a_spreadsheet_has_tabs() -> None:
    assert read("店舗コード\t店舗名\n001\t渋谷店,本館\n\n") == (
        ["店舗コード", "店舗名"],
        [(2, ["001", "渋谷店,本館"])],
    )


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"", "内容がありません"), (b"PK\x03\x04\x00\x00", "CSVではない"), (b"a\n" + b"1\n" * 10_001, "10,000行"),
     (b'a\n"' + b"x" * 200_000 + b'"', "読み取れません"), (b"\x81\xff\xfe\x00\x81", "判別できません")],
)  # fmt: skip
def test_what_cannot_be_read_is_said(data: bytes, part: str) -> None:
    with pytest.raises(CsvError, match=part):
        read(decode(data)[0])


def test_a_file_is_named_by_what_and_when() -> None:
    assert file_name("店舗一覧", datetime(2026, 7, 1, 15, 5, tzinfo=UTC)) == "店舗一覧_202607020005.csv"
