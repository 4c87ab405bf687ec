"""Requests to the ledger before seating: done only when it says so (P5＋, P9)."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from portal.database import run_write
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import ReservationChange, ReservationItem
from portal.link.delivery import Deliverer
from portal.operations.models import ReservationLink
from portal.register.service import Device
from portal.stores.models import Store
from portal.visits.domain import MESSAGES
from portal.visits.models import Visit

TRY_AGAIN = (
    "変更は行われていないか、確認できていません。ネットワークの接続状態を確認し、予約確認を更新してから、もう一度操作してください。"
    "解決しない場合は【USENレジサポートセンター】0120-210-440(24時間受付)までお問い合わせください。"
)


def change_reservation(
    session: Session, deliverer: Deliverer, device: Device, item: ReservationItem, change: ReservationChange,
    *, seconds: float = 2.5,
) -> ReservationItem:  # fmt: skip
    """Change a waiting reservation on the revision that the person saw (P9); waits ``seconds`` at most.

    Raises ConflictError where it has changed since, UserError with M6 where the ledger did not answer.
    """
    link = session.get(ReservationLink, device.link_id) if device.link_id and not device.training else None
    if link is None or link.state != "active" or link.access_token_encrypted is None:
        raise UserError(
            "この端末はお席トットくんと連携していないため、予約を変更できません。",
            "お席トットくんで変更してください。",
        )
    token = deliverer.tokens.open(link.access_token_encrypted)
    session.rollback()
    try:
        return deliverer.client.change_reservation(session, token, item.id, change, seconds=seconds)
    except LedgerUnavailableError:
        raise UserError(MESSAGES["M6"], TRY_AGAIN) from None
    except LedgerProblemError as problem:
        if problem.code == "REVISION_CONFLICT":
            raise ConflictError(
                "この予約は、お席トットくんで変更されています。",
                "現在の内容を確認してから、もう一度「変更する」を押してください。",
            ) from None
        if problem.code in ("RESERVATION_NOT_WAITING", "NOT_FOUND"):
            raise ConflictError(
                "この予約は、すでに配席またはキャンセルされています。",
                "予約確認を更新して、状態をご確認ください。",
            ) from None
        if problem.code == "SEAT_NOT_MAPPED":
            raise UserError(MESSAGES["M4"], "マッピング済みのテーブルを選択してください。") from None
        raise UserError(MESSAGES["M5"], TRY_AGAIN) from None


def time_to_now(
    session: Session, deliverer: Deliverer, device: Device, visit_id: uuid.UUID, op_id: uuid.UUID,
    item: ReservationItem, *, seconds: float = 2.5,
) -> None:  # fmt: skip
    """「予約時間を今に変更」 (P5＋): where the store has allowed it; then what is owed is delivered."""
    if not session.get_one(Store, device.store_id).offer_time_change:
        raise NotFoundError
    # The whole minute, as the screens show it: the ledger's clock may be some seconds behind ours.
    start = deliverer.clock.now().replace(second=0, microsecond=0)
    change = ReservationChange(request_id=op_id, revision=item.revision, start_at=start)
    change_reservation(session, deliverer, device, item, change, seconds=seconds)

    def reopen(s: Session) -> None:
        visit = s.get_one(Visit, visit_id, with_for_update=True)
        if visit.answer_outcome == "refused" and visit.answered_revision == visit.revision:
            visit.answered_revision = visit.revision - 1

    run_write(session, reopen)
