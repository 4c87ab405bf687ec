"""O13: what the ledger will show after an operation, in one line, before it is done. Pure.

A line is never more than what is known here: whether the ledger has a row of the party is known only where the
last answer accepted it, and whether a table is mapped not at all (``IF_MAPPED`` stands beside the choices).
"""

from __future__ import annotations

from portal.visits.domain import LINK_ENDED, delivery_state
from portal.visits.models import Visit

NOT_LINKED = "お席トットくんには連携されません。"
NO_CHANGE = "お席トットくんの表示は変わりません。"
GROUP = "お席トットくんの表示は変わりません。会計後に伝票番号が連携されます。"
BLOCK = "テーブルブロックはお席トットくんに連携されません。お席トットくんでもブロックする場合は、お席トットくんで登録してください。"
BLOCK_SENT = "お席トットくんでも、この座席がブロックになります。ブロックを解除すると、お席トットくんのブロックも終わります。"
IF_MAPPED = "マッピングしていないテーブルの場合は、マッピング後に反映されます。"
LATER = "送信待ちのため、お席トットくんにつながった後に反映されます。"
EARLY = "予約時間前のため、お席トットくんの表示は変わりません。予約時間の変更後に反映されます。"
NOT_YET = "未連携のため、お席トットくんには、連携された後に反映されます。"
UNMAPPED = ("SEAT_NOT_MAPPED", "SEAT_MAPPING_LOST")


def _linked(visit: Visit) -> bool:
    # Of a link that is over nothing is told any more (L7).
    return visit.link_id is not None and visit.answer_code != LINK_ENDED


def _refusal(visit: Visit) -> str:
    """Why the ledger took the last state not in; "" where it did, or has not answered yet."""
    return (visit.answer_code or "") if delivery_state(visit) == "refused" else ""


def _line(visit: Visit, text: str) -> str:
    return text + (LATER if delivery_state(visit) == "on_its_way" else "")


def after_cancel(visit: Visit, *, waiting: bool) -> str:
    """来店取消 (P7)."""
    if not _linked(visit):
        return NOT_LINKED
    refusal = _refusal(visit)
    if waiting:
        return NO_CHANGE
    if visit.kind == "reservation":
        if refusal == "BEFORE_RESERVED_TIME":
            return "お席トットくんの表示は変わりません。予約は「来店前」のままです。"
        if refusal and refusal not in UNMAPPED:
            return NO_CHANGE
        return _line(visit, "お席トットくんでは、予約が「来店前」に戻ります。")
    if refusal:
        return "お席トットくんにこのお客様の行がある場合は、消えます。"
    return _line(visit, "お席トットくんでは、このお客様の行が消えます。")


def after_move(
    visit: Visit, *, from_waiting: bool, to_name: str, to_waiting: bool, from_name: str = ""
) -> str:
    """移動 (O2). ``from_name``: the one of several tables that is exchanged."""
    if not _linked(visit):
        return NOT_LINKED
    refusal = _refusal(visit)
    if to_waiting:
        if from_waiting:
            return NO_CHANGE
        if refusal:
            return "お席トットくんにこのお客様の行がある場合は、消えます。"
        return _line(visit, "お席トットくんでは、このお客様の行が消えます。")
    if refusal == "BEFORE_RESERVED_TIME":
        return EARLY
    if refusal and refusal not in UNMAPPED:
        return NO_CHANGE
    if from_waiting or refusal:
        return f"お席トットくんに、座席「{to_name}」の「来店済み」として表示されます。"
    if from_name:
        return _line(visit, f"お席トットくんでも、座席「{from_name}」が「{to_name}」に変わります。")
    return _line(visit, f"お席トットくんでも、座席が「{to_name}」に変わります。")


def after_merge(
    source: Visit, target: Visit, *, source_waiting: bool, source_name: str, target_waiting: bool = False
) -> str:
    """統合 (O1): the source's row vanishes together with an accepted target."""
    if not _linked(source):
        return NOT_LINKED
    if source_waiting:
        return NO_CHANGE
    if target_waiting:
        return _line(
            source,
            f"お席トットくんでは、「{source_name}」のウォークインの行が消えます。待機テーブルは表示されません。",
        )
    if _refusal(target):
        return f"統合先が未連携のため、お席トットくんの「{source_name}」のウォークインの行は、統合先の連携後に消えます。"
    stays = f"{target.guest_name} 様" if target.guest_name else "統合先のウォークイン"
    if _refusal(source):
        return f"お席トットくんに「{source_name}」のウォークインの行がある場合は消え、{stays}の行が残ります。"
    return _line(
        source, f"お席トットくんでは、「{source_name}」のウォークインの行が消え、{stays}の行が残ります。"
    )


def after_group(visit: Visit | None, *, linked: bool = True, waiting: bool = False) -> str:
    """テーブルグループ (O8); ``visit`` is the party at the table, if any, ``linked`` the terminal's link."""
    if waiting:
        return NO_CHANGE
    return GROUP if (_linked(visit) if visit is not None else linked) else NOT_LINKED


def after_change(visit: Visit, *, waiting: bool = False) -> str:
    """変更 after seating (P9)."""
    if not _linked(visit):
        return NOT_LINKED
    if waiting:
        return NO_CHANGE
    if (refusal := _refusal(visit)) == "BEFORE_RESERVED_TIME":
        return "予約時間前のため、お席トットくんには、予約時間の変更後に反映されます。"
    return NOT_YET if refusal else _line(visit, "変更した内容は、お席トットくんにも反映されます。")


def after_joint(visits: list[tuple[Visit, bool]], *, reset: bool) -> str:
    """合算会計 (O9): every visit of the bill leaves when it is paid; each with whether it waits (O4)."""
    if not any(_linked(visit) for visit, _ in visits):
        return NOT_LINKED
    shown = [visit for visit, waiting in visits if _linked(visit) and not waiting]
    if not shown:
        return NO_CHANGE
    when = "会計後、テーブルリセットの解除で" if reset else "会計が終わると"
    text = f"お席トットくんでは、{when}、合算したお客様がそれぞれの伝票番号で「退店済み」になります。それまでは変わりません。"
    if any(_refusal(visit) for visit in shown):
        text += "未連携のお客様は、連携された後に反映されます。"
    return text


def after_split(visit: Visit, *, reset: bool, waiting: bool = False) -> str:
    """分割会計 (O10): nothing of the slip until the last part is paid."""
    if not _linked(visit):
        return NOT_LINKED
    if waiting:
        return NO_CHANGE
    if refusal := _refusal(visit):
        return EARLY if refusal == "BEFORE_RESERVED_TIME" else NOT_YET
    left = "テーブルリセットの解除後に「退店済み」" if reset else "「退店済み」"
    return f"お席トットくんでは、最後の会計が終わるまで「来店済み」のままです。最後の会計で伝票番号が連携され、{left}になります。"


def after_void(visit: Visit) -> str:
    """伝票取消 (Y7): the ledger's row stays as it is."""
    if not _linked(visit):
        return NOT_LINKED
    return "お席トットくんの表示は変わりません。伝票番号と状態はそのまま残ります。"
