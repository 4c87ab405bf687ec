"""The one way CSV comes in: read, compared, shown, and only then written, all of it or nothing.

A feature describes what it imports as an ``Importer`` and adds it with ``register``; screens, encodings, the preview of
five rows, errors by row and column and the file for download are here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.identity.service import Actor
from portal.imports.models import ImportDraft
from portal.imports.sheet import Sheet, parse
from portal.kernel.csvfile import CsvError, decode
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.stores.models import Store
from portal.web.forms import Form

KINDS = {"new": "新規", "changed": "変更", "same": "変更なし"}


@dataclass(frozen=True)
class Change:
    """What would happen to one row: ``new``, ``changed`` or ``same``. ``values`` is complete; ``target`` what it changes."""

    line: int
    kind: str
    label: str
    values: dict[str, Any]
    target: Any = None


@dataclass
class Plan:
    """A file compared with what there is; ``sheet.faults`` must be empty before it may be written."""

    sheet: Sheet
    changes: list[Change] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(1 for change in self.changes if change.kind == kind)


@dataclass(frozen=True)
class Importer:
    """What can be imported.

    ``columns``: field of the form → heading. ``keys``: fields that name a row. ``compare`` fills the plan's changes and
    may add faults (``plan.sheet.fail(line, heading, message)``). ``apply`` writes them in the session's transaction.
    ``export`` gives rows in the order of ``columns``. ``per_store``: belongs to one store; else to the company, and
    only a 企業管理者 may. ``hints``: what may stand in a column.
    """

    kind: str
    title: str
    columns: Mapping[str, str]
    keys: tuple[str, ...]
    form: Callable[[Session], Form]
    compare: Callable[[Session, Actor, Store | None, Plan], None]
    apply: Callable[[Session, Actor, Store | None, Plan, datetime], None]
    export: Callable[[Session, Actor, Store | None], Iterable[Sequence[object]]]
    back: str
    per_store: bool = False
    hints: Mapping[str, str] = field(default_factory=dict)


IMPORTERS: dict[str, Importer] = {}


def register(importer: Importer) -> Importer:
    IMPORTERS[importer.kind] = importer
    return importer


def take_in(
    session: Session, actor: Actor, importer: Importer, store: Store | None, *, name: str, data: bytes | str,
    encoding: str, now: datetime,
) -> ImportDraft:  # fmt: skip
    """Keep what was chosen or pasted, to be shown. UserError (field ``file``) where it cannot be read at all."""
    try:
        text, used = decode(data, encoding) if isinstance(data, bytes) else (data, "貼り付け")
        parse(importer.form(session), importer.columns, text, importer.keys)
    except CsvError as error:
        raise UserError(str(error), field="file") from None
    draft = ImportDraft(
        company_id=actor.company_id, kind=importer.kind, store_id=store.id if store else None, created_by=actor.id,
        created_at=now, file_name=name[:200], encoding=used, content=text,
    )  # fmt: skip
    session.add(draft)
    session.flush()
    return draft


def draft_of(
    session: Session, actor: Actor, importer: Importer, draft_id: uuid.UUID, *, lock: bool = False
) -> ImportDraft:
    """The person's own draft; NotFoundError for anybody else's."""
    draft = session.get(ImportDraft, draft_id, with_for_update=lock or None)
    if draft is None or draft.kind != importer.kind or draft.created_by != actor.id:
        raise NotFoundError
    return draft


def plan_of(
    session: Session, actor: Actor, importer: Importer, store: Store | None, draft: ImportDraft
) -> Plan:
    """Compare a draft with what there is now. Raises UserError where the file's headings do not fit any more."""
    try:
        sheet = parse(importer.form(session), importer.columns, draft.content, importer.keys)
    except CsvError as error:
        raise UserError(str(error)) from None
    plan = Plan(sheet)
    importer.compare(session, actor, store, plan)
    # Found in two passes; whoever mends the file goes through it from the top.
    plan.sheet.faults.sort(key=lambda fault: fault.line)
    return plan


def confirm(
    session: Session,
    actor: Actor,
    importer: Importer,
    store: Store | None,
    draft_id: uuid.UUID,
    now: datetime,
) -> Plan:
    """登録: write a draft once. ConflictError on the second press; UserError where rows are wrong."""
    draft = draft_of(session, actor, importer, draft_id, lock=True)
    if draft.applied_at is not None:
        raise ConflictError("このファイルはすでに登録されています。", "一覧で内容をご確認ください。")
    plan = plan_of(session, actor, importer, store, draft)
    if plan.sheet.faults:
        raise UserError(
            f"エラーが{len(plan.sheet.faults):,}件あるため、登録していません。",
            "ファイルを修正して、もう一度選択してください。",
        )
    importer.apply(session, actor, store, plan, now)
    draft.applied_at, draft.content = now, ""
    record(
        session, company_id=actor.company_id, store_id=store.id if store else None, at=now, action="csv_imported",
        target=importer.title, actor_id=actor.id, actor_label=actor.name,
        after={"file": draft.file_name, "new": plan.count("new"), "changed": plan.count("changed")},
    )  # fmt: skip
    return plan
