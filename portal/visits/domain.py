"""What a visit's change means for the ledger: pure."""

from __future__ import annotations

import re
import unicodedata
import uuid

from portal.database import Found
from portal.link.contract import VisitState
from portal.visits.models import Visit

MESSAGES = {
    "M3": "時間が重複する予約情報が存在します。お席トットくん画面をご確認下さい。",
    "M4": "対象テーブルはお席トットくんの座席情報に存在しません。お席トットくんへの同期状況とマッピング状況をご確認ください。 [エラーコード：SEAT_NOT_MAPPED]",
    "M4b": "お席トットくんの座席情報と不整合があります。お席トットくん画面の座席情報をご確認ください",
    "M5": "予約台帳連携に失敗しました。",
    "M6": "予期せぬエラーが発生しました。",
}
REMEDIES = {
    "M3": "操作は完了しています。テーブル移動を行うか、お席トットくんで席指定しているテーブルを変更してください。",
    "M4": "操作は完了しています。お席トットくんの「座席管理」でマッピング状況をご確認ください。マッピング後、自動で連携されます。",
    "M4b": "操作は完了しています。テーブルと座席の名称を一致させ、「USENレジ座席同期」をもう一度行ってください。その後、自動で連携されます。",
    "M5": "操作は完了しています。予約時間より前のため、お席トットくんには反映されていません。お席トットくんで予約時間を変更してください。変更後、または予約時間になると、自動で連携されます。",
    "M6": "操作はレジに保存されており、お席トットくんへの送信は自動で続きます。ネットワークの接続状態を確認後、お席トットくん連携の状態をご確認ください。解決しない場合は【USENレジサポートセンター】0120-210-440(24時間受付)までお問い合わせください。",
}
# M5 has one text for all that the ledger says of a reservation; the remedy goes by what it said.
REFUSAL_REMEDIES = {
    "RESERVATION_NOT_FOUND": "操作は完了しています。お席トットくんにこの予約が見つからないため、反映されていません。お席トットくんの予約台帳をご確認ください。",
    "RESERVATION_CANCELLED": "操作は完了しています。お席トットくんでこの予約がキャンセルされているため、反映されていません。お席トットくんの予約台帳をご確認ください。予約を「来店前」に戻すと、自動で連携されます。",
    "RESERVATION_TAKEN": "操作は完了しています。お席トットくんでこの予約が別の来店として扱われているため、反映されていません。お席トットくんの予約台帳をご確認ください。",
}
# M6 stays until it is closed, and by then the delivery has often gone through.
DELIVERED_SINCE = "その後、お席トットくんへ送信できました。このまま操作を続けてください。"
REFUSAL_MESSAGES = {
    "SEAT_NOT_MAPPED": "M4",
    "SEAT_MAPPING_LOST": "M4b",
    "BEFORE_RESERVED_TIME": "M5",
    "RESERVATION_NOT_FOUND": "M5",
    "RESERVATION_CANCELLED": "M5",
    "RESERVATION_TAKEN": "M5",
    # The person was told of the target's own refusal; the source only waits for it.
    "MERGE_TARGET_MISSING": "",
}
REFUSAL_REASONS = {
    "SEAT_NOT_MAPPED": "座席未マッピング",
    "SEAT_MAPPING_LOST": "座席情報の不整合",
    "BEFORE_RESERVED_TIME": "予約時間前",
    "RESERVATION_NOT_FOUND": "予約が見つかりません",
    "RESERVATION_CANCELLED": "予約はキャンセル済み",
    "RESERVATION_TAKEN": "予約は配席済み",
    "MERGE_TARGET_MISSING": "統合先の連携待ち",
    "DROPPED": "取り下げ済み",
    "LINK_ENDED": "連携解除",
}
# Ours, not the ledger's: the link of the visit is over, and nobody hears of it any more (L7).
LINK_ENDED = "LINK_ENDED"


def delivery_state(visit: Visit) -> str:
    """At a glance (D1): ``linked``, ``on_its_way``, ``refused``, or ``not_linked``."""
    if visit.link_id is None:
        return "not_linked"
    if visit.answered_revision < visit.revision:
        return "on_its_way"
    if visit.attempted_revision == 0:
        return "not_linked"
    if visit.answer_outcome == "refused":
        # What a person dropped is not to be linked any more (D2).
        return "not_linked" if visit.dropped_at is not None else "refused"
    return "linked"


def wire_state(
    visit: Visit | Found, table_ids: list[object], waiting_only: bool, merged_into: object = None
) -> VisitState:
    """The whole state as the contract sends it (design.md §3)."""
    if visit.status in ("cancelled", "merged") or waiting_only:
        status = "withdrawn"
    else:
        status = "left" if visit.status == "left" else "seated"
    return VisitState.model_validate(
        {
            "visit_id": visit.id, "revision": visit.revision, "kind": visit.kind,
            "reservation_id": visit.reservation_id, "status": status, "table_ids": table_ids,
            "party_size": visit.party_size, "start_at": visit.start_at, "stay_minutes": visit.stay_minutes,
            "ended_at": visit.ended_at, "slip_number": visit.slip_number, "points_used": visit.points_used,
            "tables_revision": visit.tables_revision, "party_revision": visit.party_revision,
            "times_revision": visit.times_revision, "stay_revision": visit.stay_revision,
            "merged_into": merged_into,
        }
    )  # fmt: skip


def delivery_number(visit_id: uuid.UUID) -> str:
    """The number of a visit's delivery as paper and people pass it on: 3F9A-07C2 (M12, D2)."""
    tail = visit_id.hex[-8:].upper()
    return f"{tail[:4]}-{tail[4:]}"


def delivery_tail(typed: str) -> str | None:
    """What ends the visit's id, of a number as it was typed; None where it is no such number."""
    text = unicodedata.normalize("NFKC", typed).replace("-", "").replace("ー", "").replace(" ", "").lower()
    return text if re.fullmatch(r"[0-9a-f]{8}", text) else None
