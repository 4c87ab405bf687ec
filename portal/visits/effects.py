"""O13: what the ledger will show after an operation, in one line, before it is done. Pure."""

from __future__ import annotations

from portal.visits.models import Visit

NOT_LINKED = "お席トットくんには連携されません。"
NO_CHANGE = "お席トットくんの表示は変わりません。"
GROUP = "お席トットくんの表示は変わりません。会計後に伝票番号が連携されます。"
BLOCK = "テーブルブロックはお席トットくんに連携されません。お席トットくんでもブロックする場合は、お席トットくんで登録してください。"
BLOCK_SENT = "お席トットくんでも、この座席がブロックになります。ブロックを解除すると、お席トットくんのブロックも終わります。"


def _linked(visit: Visit) -> bool:
    return visit.link_id is not None


def after_cancel(visit: Visit, *, waiting: bool) -> str:
    """来店取消 (P7)."""
    if not _linked(visit):
        return NOT_LINKED
    if visit.kind == "reservation":
        return "お席トットくんでは、予約が「来店前」に戻ります。"
    return NO_CHANGE if waiting else "お席トットくんでは、このお客様の行が消えます。"


def after_move(visit: Visit, *, from_waiting: bool, to_name: str, to_waiting: bool) -> str:
    """移動 (O2)."""
    if not _linked(visit):
        return NOT_LINKED
    if to_waiting:
        return NO_CHANGE if from_waiting else "お席トットくんでは、このお客様の行が消えます。"
    if from_waiting:
        return f"お席トットくんに、座席「{to_name}」の「来店済み」として表示されます。"
    return f"お席トットくんでも、座席が「{to_name}」に変わります。"


def after_merge(source: Visit, target: Visit, *, source_waiting: bool, source_name: str) -> str:
    """統合 (O1)."""
    if not _linked(source):
        return NOT_LINKED
    if source_waiting:
        return NO_CHANGE
    stays = f"{target.guest_name} 様" if target.guest_name else "統合先のウォークイン"
    return f"お席トットくんでは、「{source_name}」のウォークインの行が消え、{stays}の行が残ります。"


def after_group(visit: Visit | None) -> str:
    """テーブルグループ (O8)."""
    return NOT_LINKED if visit is not None and not _linked(visit) else GROUP
