"""連携開始 and the set-up checklist (L4–L6, L8, L10)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import constraint_name, run_write
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, UserError
from portal.link.client import LedgerBusyError, LedgerProblemError, LedgerUnavailableError
from portal.link.contract import LinkAnswer, LinkRequest
from portal.link.delivery import Deliverer, open_lane
from portal.operations.models import OTOSEKI, PROVIDER_LABELS, ReservationLink
from portal.stores.models import Store
from portal.visits.models import Visit
from portal.visits.owing import OWED
from portal.visits.service import give_up_debts

REFUSALS = {
    "CLIENT_ID_UNKNOWN": "入力されたClient idは、お席トットくんで発行されていません。",
    "CLIENT_ID_USED": "入力されたClient idは、すでに使用されています。",
    "CLIENT_ID_REVOKED": "入力されたClient idは、お席トットくんで無効にされています。",
    "CLIENT_ID_OTHER_STORE": "入力されたClient idは、別の店舗用に発行されたものです。",
    "STORE_ALREADY_LINKED": "お席トットくん側の店舗は、すでに別のレジと連携しています。",
}
ASK_AGAIN = "お席トットくんの「Client id 発行」画面で内容を確認し、この店舗用のClient idを入力してください。"


def current_link(session: Session, store_id: uuid.UUID) -> ReservationLink | None:
    """The store's link that is not ended, pending or active."""
    statement = select(ReservationLink).where(
        ReservationLink.store_id == store_id, ReservationLink.ended_at.is_(None)
    )
    return session.scalar(statement)


def _open_store(session: Session, store_id: uuid.UUID) -> Store:
    """The store; ConflictError where it is closed (the database refuses its link in any case)."""
    store = session.get_one(Store, store_id)
    if store.closed_at is not None:
        raise ConflictError(
            "この店舗は閉店しているため、連携できません。",
            "営業を再開する場合は、店舗一覧の「変更」で「営業を再開する」を押してください。",
        )
    return store


def start_link(
    session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID, client_id: str
) -> None:
    """Trade the Client id for a token. Of two admins at once one gets ConflictError (L5).

    The pending row is committed before the call; a lost answer leaves it, and the next press asks again with
    the same link id, which the ledger answers anew.
    """
    now = deliverer.clock.now()

    def reserve(s: Session) -> LinkRequest:
        store = _open_store(s, store_id)
        link = current_link(s, store_id)
        if link is not None and link.cut_at is not None:
            # The ledger ended it (G4): a fresh Client id begins a new link, and what was owed to the old stays there.
            close(s, deliverer, link, actor.id, actor.name)
            s.flush()
            link = None
        if link is not None and link.state == "active":
            raise ConflictError(
                f"この店舗はすでに「{PROVIDER_LABELS[link.provider]}連携中」です。",
                "画面を再読み込みして、連携状態をご確認ください。",
            )
        if link is None:
            link = ReservationLink(
                company_id=store.company_id, store_id=store.id, provider=OTOSEKI, state="pending",
                client_id_hint=client_id[-4:], created_at=now, created_by=actor.id,
            )  # fmt: skip
            s.add(link)
            s.flush()
        link.client_id_hint = client_id[-4:]
        return LinkRequest(
            link_id=link.id, client_id=client_id, company_code=actor.company_code, store_code=store.code,
            store_name=store.name,
        )  # fmt: skip

    try:
        request = run_write(session, reserve)
    except IntegrityError as error:
        if constraint_name(error) != "uq_reservation_link_one_per_store":
            raise
        raise ConflictError(
            "ほかの担当者が、同時にこの店舗の連携を開始しました。",
            "画面を再読み込みして、連携状態をご確認ください。",
        ) from None
    try:
        answer = deliverer.client.link(session, request)
    except LedgerProblemError as problem:

        def give_up(s: Session) -> None:
            link = s.get(ReservationLink, request.link_id, with_for_update=True)
            if link is not None and link.state == "pending":
                s.delete(link)

        run_write(session, give_up)
        text = REFUSALS.get(problem.code, "お席トットくんに連携を断られました。")
        raise UserError(text, ASK_AGAIN, field="client_id") from None
    except LedgerBusyError as busy:
        raise UserError(
            "お席トットくんが、いまは連携の受付を制限しています。",
            f"約{busy.minutes}分後に、同じClient idでもう一度「連携開始」を押してください。",
        ) from None
    except LedgerUnavailableError:
        raise UserError(
            "お席トットくんから応答がなく、連携を開始できたか確認できませんでした。",
            "ネットワークの接続状態を確認後、同じClient idでもう一度「連携開始」を押してください。二重に連携されることはありません。",
        ) from None

    outcome = run_write(session, lambda s: _keep(s, deliverer, request.link_id, answer, actor))
    if outcome == "over":
        # The ledger has a link that nobody has here; where it cannot be told, a fresh Client id replaces it.
        with suppress(LedgerProblemError, LedgerUnavailableError):
            deliverer.client.end_link(session, answer.access_token)
        raise ConflictError(
            "連携を開始している間に、ほかの担当者がこの店舗の連携を解除しました。",
            "画面を再読み込みして連携状態を確認し、連携する場合は、新しいClient idで「連携開始」を押してください。",
        )
    if outcome == "other":
        _use_newest(session, deliverer, request.link_id, answer)


def _keep(
    session: Session, deliverer: Deliverer, link_id: uuid.UUID, answer: LinkAnswer, actor: Actor
) -> Literal["kept", "over", "other"]:
    """What the ledger said is written down, unless the link was ended (``over``) or begun by another press (``other``)."""
    link = session.get(ReservationLink, link_id, with_for_update=True, populate_existing=True)
    if link is None or link.state == "ended":
        return "over"
    if link.state == "active":
        return "other"
    activate(session, deliverer, link, answer, actor.id, actor.name)
    return "kept"


def _use_newest(session: Session, deliverer: Deliverer, link_id: uuid.UUID, answer: LinkAnswer) -> None:
    """Two presses at once: each got a token, and the ledger knows the last one only. Ours is kept where it is that."""
    try:
        deliverer.client.signals(session, answer.access_token)
    except (LedgerProblemError, LedgerUnavailableError):
        return

    def replace(s: Session) -> None:
        link = s.get(ReservationLink, link_id, with_for_update=True, populate_existing=True)
        if link is not None and link.state == "active":
            link.access_token_encrypted = deliverer.tokens.seal(answer.access_token)
            link.cut_at = None

    run_write(session, replace)


def activate(
    session: Session, deliverer: Deliverer, link: ReservationLink, answer: LinkAnswer, actor_id: uuid.UUID | None,
    actor_label: str,
) -> None:  # fmt: skip
    """The ledger said yes: token and store id are kept, the lane opens (L4, L8)."""
    now = deliverer.clock.now()
    first = link.state == "pending"
    link.state, link.linked_at = "active", now
    link.external_store_id, link.external_store_name = answer.ledger_store_id, answer.ledger_store_name
    link.access_token_encrypted = deliverer.tokens.seal(answer.access_token)
    if first:
        open_lane(session, link, answer.epoch, answer.version, now)
    record(
        session, company_id=link.company_id, store_id=link.store_id, at=now, action="link_started",
        target="予約連携", actor_id=actor_id, actor_label=actor_label, before={"state": "未連携"},
        after={"state": "お席トットくん連携中", "store_id": answer.ledger_store_id},
    )  # fmt: skip


def owed_by_store(session: Session, store_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """What each store's present link still owes; stores that owe nothing are not in it."""
    statement = (
        select(Visit.store_id, func.count())
        .join(ReservationLink, ReservationLink.id == Visit.link_id)
        .where(
            Visit.store_id.in_(store_ids),
            ReservationLink.ended_at.is_(None),
            Visit.dropped_at.is_(None),
            OWED,
        )
        .group_by(Visit.store_id)
    )
    found: dict[uuid.UUID, int] = dict(session.execute(statement).all())
    return found


def record_provider(
    session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID, provider: str, external_id: str
) -> None:
    """Record one of the other three providers (L5): state and external id only. ConflictError where one is there."""
    now = deliverer.clock.now()
    label = PROVIDER_LABELS[provider]

    def work(s: Session) -> None:
        store = _open_store(s, store_id)
        current = current_link(s, store_id)
        if current is not None:
            raise ConflictError(
                f"この店舗はすでに「{PROVIDER_LABELS[current.provider]}連携中」です。",
                "お席トットくん、USEN SMART RESERVE、ebica・Retty、TableCheckのどれか1つしか連携できません。先に連携解除を行ってください。",
            )
        s.add(
            ReservationLink(
                company_id=store.company_id, store_id=store.id, provider=provider, state="active",
                external_store_id=external_id, created_at=now, created_by=actor.id, linked_at=now,
            )
        )  # fmt: skip
        record(
            s, company_id=store.company_id, store_id=store_id, at=now, action="link_recorded", target="予約連携",
            actor_id=actor.id, actor_label=actor.name, before={"state": "未連携"},
            after={"state": f"{label}連携中", "store_id": external_id},
        )  # fmt: skip
        s.flush()

    try:
        run_write(session, work)
    except IntegrityError as error:
        if constraint_name(error) != "uq_reservation_link_one_per_store":
            raise
        raise ConflictError(
            "ほかの担当者が、同時にこの店舗の連携を開始しました。",
            "画面を再読み込みして、連携状態をご確認ください。",
        ) from None


def close(
    session: Session,
    deliverer: Deliverer,
    link: ReservationLink,
    actor_id: uuid.UUID | None,
    actor_label: str,
) -> str | None:
    """End a link on our side (L7): the history stays. The token to tell the ledger with, if there is one."""
    now = deliverer.clock.now()
    # Whoever is being seated on it holds its row until then: what they will owe is settled below.
    session.refresh(link, with_for_update=True)
    if link.ended_at is not None:
        return None
    left = owed(session, link.id)
    label = PROVIDER_LABELS[link.provider] + ("連携中" if link.cut_at is None else "側で連携終了")
    link.state, link.ended_at = "ended", now
    session.flush()
    give_up_debts(session, link.id, actor_id, now)
    record(
        session, company_id=link.company_id, store_id=link.store_id, at=now, action="link_ended", target="予約連携",
        actor_id=actor_id, actor_label=actor_label, before={"state": label},
        after={"state": "未連携", "owed": left},
    )  # fmt: skip
    sealed, link.access_token_encrypted = link.access_token_encrypted, None
    return deliverer.tokens.open(sealed) if sealed else None


def owed(session: Session, link_id: uuid.UUID) -> int:
    """Visits of a link that the ledger does not know of as they are: they stay so after 連携解除 (L7)."""
    statement = select(func.count()).where(Visit.link_id == link_id, Visit.dropped_at.is_(None), OWED)
    return session.scalar(statement) or 0


def end_link(
    session: Session,
    deliverer: Deliverer,
    actor: Actor,
    store_id: uuid.UUID,
    *,
    link_id: uuid.UUID | None = None,
) -> bool:
    """連携解除 (L7): history stays, old debts go to nobody, the store may link again with a fresh Client id.

    False where the ledger could not be told; a fresh Client id of the same store replaces the link there too.
    Raises ConflictError where the store is not linked any more, or not by ``link_id`` where one is given.
    """

    def end(s: Session) -> str | None:
        link = s.scalar(
            select(ReservationLink)
            .where(ReservationLink.store_id == store_id, ReservationLink.ended_at.is_(None))
            .with_for_update()
        )
        if link is None or (link_id is not None and link.id != link_id):
            raise ConflictError(
                "この店舗はすでに未連携です。", "画面を再読み込みして、連携状態をご確認ください。"
            )
        return close(s, deliverer, link, actor.id, actor.name)

    token = run_write(session, end)
    if token is None:
        return True
    try:
        deliverer.client.end_link(session, token)
    except LedgerUnavailableError:
        return False
    except LedgerProblemError as problem:
        # The ledger had ended it before.
        return problem.code == "UNAUTHORIZED"
    return True
