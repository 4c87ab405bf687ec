"""一括連携: what a list says, and what would happen to each of its rows: pure (L9)."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from portal.kernel import csvfile
from portal.kernel.errors import UserError

MOST_ROWS = 5000
HEADER = ("店舗コード", "Client id")
OK = ""
UNCHECKED = "UNCHECKED"
VERDICTS = {
    "EMPTY_STORE": "店舗コードが空です。店舗コードを入力してください。",
    "EMPTY_CLIENT": "Client idが空です。お席トットくんで発行されたClient idを入力してください。",
    "TOO_LONG": "値が長すぎます。列がずれていないかご確認ください。",
    "DUPLICATE_STORE": "同じ店舗コードが、上の行にもあります。どちらか一方を削除してください。",
    "DUPLICATE_CLIENT": "同じClient idが、上の行にもあります。Client idは店舗ごとに発行してください。",
    "UNKNOWN_STORE": "この店舗コードの店舗はありません。",
    "CLOSED_STORE": "この店舗は閉店しています。営業を再開してから連携してください。",
    "ALREADY_LINKED": "この店舗は、すでにお席トットくんと連携中です。",
    "OTHER_PROVIDER": "この店舗は、ほかの予約サービスと連携中です。先に連携解除を行ってください。",
    "IN_PROGRESS": "この店舗は、別の操作で連携の確認中です。予約連携の一覧でご確認ください。",
    "CLIENT_ID_UNKNOWN": "入力されたClient idは、お席トットくんで発行されていません。",
    "CLIENT_ID_USED": "入力されたClient idは、すでに使用されています。新しいClient idを発行してください。",
    "CLIENT_ID_REVOKED": "入力されたClient idは、お席トットくんで無効にされています。新しいClient idを発行してください。",
    "CLIENT_ID_OTHER_STORE": "入力されたClient idは、別の店舗用に発行されたものです。",
    "STORE_ALREADY_LINKED": "お席トットくん側の店舗は、すでに別のレジと連携しています。",
    "UNAVAILABLE": "お席トットくんから応答がなく、連携できたか確認できませんでした。同じClient idでもう一度実行してください。二重に連携されることはありません。",
    "RATE_LIMITED": "お席トットくんが連携の受付を制限しているため、連携できませんでした。しばらく待ってから、もう一度実行してください。",
    "REFUSED": "お席トットくんに連携を断られました。Client idをご確認ください。",
}


@dataclass(frozen=True)
class Line:
    """A row of the list as typed, tidied: full-width letters and digits become ASCII."""

    number: int
    store_code: str
    client_id: str


@dataclass(frozen=True)
class KnownStore:
    """What the dry run knows of a store: its link's provider and state, and how many tables it has."""

    id: uuid.UUID
    code: str
    name: str
    provider: str | None = None
    pending: bool = False
    tables: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What would happen to a row: ``code`` empty where it would be linked; ``note`` is worth knowing all the same."""

    line: Line
    store: KnownStore | None
    code: str
    note: str = ""


def parse(text: str) -> list[Line]:
    """Rows of (store code, Client id): CSV, pasted from a spreadsheet, or separated by spaces; header optional.

    Raises UserError where there is nothing to read or too much.
    """
    lines = text.lstrip("\ufeff").strip("\r\n").splitlines()
    first = lines[0] if lines else ""
    if lines and "," not in first and "\t" not in first:
        lines = [re.sub(r"[ \u3000]+", ",", line.strip()) for line in lines]
        first = lines[0]
    named = "店舗" in first or "client" in unicodedata.normalize("NFKC", first).casefold()
    if not named:
        lines.insert(0, ("\t" if "\t" in first else ",").join(HEADER))
    try:
        header, rows = csvfile.read("\n".join(lines), most=MOST_ROWS)
    except csvfile.CsvError as error:
        raise UserError(str(error), field="text") from None
    folded = [
        unicodedata.normalize("NFKC", cell).casefold().replace(" ", "").replace("_", "") for cell in header
    ]
    store_at = next((i for i, cell in enumerate(folded) if cell in ("店舗コード", "storecode", "店舗")), 0)
    client_at = next((i for i, cell in enumerate(folded) if "client" in cell), 1 if store_at == 0 else 0)
    if not rows:
        raise UserError(
            "店舗がありません。", "2行目から店舗コードとClient idを入力してください。", field="text"
        )

    def cell(cells: Sequence[str], at: int) -> str:
        value = unicodedata.normalize("NFKC", cells[at]).strip() if at < len(cells) else ""
        return "".join(c for c in value if unicodedata.category(c) not in ("Cc", "Cs"))

    shift = 0 if named else 1
    return [Line(number - shift, cell(cells, store_at), cell(cells, client_at)) for number, cells in rows]


def judge(lines: Sequence[Line], stores: Mapping[str, KnownStore]) -> list[Verdict]:
    """All that can be said without asking the ledger."""
    padded: dict[str, list[str]] = {}
    for code in stores:
        padded.setdefault(code.lstrip("0"), []).append(code)
    seen_stores: set[str] = set()
    seen_clients: set[str] = set()
    found = []
    for line in lines:
        store = stores.get(line.store_code)
        note = ""
        if not line.store_code:
            code = "EMPTY_STORE"
        elif len(line.store_code) > 32 or len(line.client_id) > 100:
            code = "TOO_LONG"
        elif store is None:
            code = "UNKNOWN_STORE"
            like = [c for c in padded.get(line.store_code.lstrip("0"), []) if c != line.store_code]
            if len(like) == 1:
                note = f"先頭の0が失われた可能性があります。「{like[0]}」ではありませんか。"
        elif store.closed:
            code = "CLOSED_STORE"
        elif line.store_code in seen_stores:
            code = "DUPLICATE_STORE"
        elif not line.client_id:
            code = "EMPTY_CLIENT"
        elif line.client_id in seen_clients:
            code = "DUPLICATE_CLIENT"
        elif store.pending:
            code = "IN_PROGRESS"
        elif store.provider is not None:
            code = "ALREADY_LINKED" if store.provider == "otoseki" else "OTHER_PROVIDER"
        else:
            code = OK
            if not store.tables:
                note = "テーブルが登録されていません。連携後にテーブル設定を行ってください。"
        seen_stores.add(line.store_code)
        seen_clients.add(line.client_id)
        found.append(Verdict(line, store, code, note))
    return found


@dataclass(frozen=True)
class Progress:
    """How far a run is. ``left``: seconds, or None where the pace is not known yet."""

    total: int
    done: int
    failed: int
    skipped: int
    waiting: int
    left: int | None

    @property
    def finished(self) -> int:
        return self.done + self.failed


def time_left(waiting: int, finished_lately: int, seconds: float) -> int | None:
    """Seconds left at the pace of the last ``seconds``; None before anything was finished."""
    if not waiting or finished_lately <= 0 or seconds <= 0:
        return 0 if not waiting else None
    return max(1, round(waiting * seconds / finished_lately))
