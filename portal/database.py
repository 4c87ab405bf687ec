"""The POS side's database: base class, session settings, tenant scope, unit of work."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar, cast

from flask_sqlalchemy import SQLAlchemy
from psycopg._preparing import PrepareManager
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    MetaData,
    Row,
    Table,
    Text,
    Uuid,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
TYPES: dict[Any, Any] = {
    str: Text,
    int: BigInteger,
    datetime: DateTime(timezone=True),
    date: Date,
    uuid.UUID: Uuid,
    dict[str, Any]: JSONB,
    list[dict[str, Any]]: JSONB,
}
# More than there are kinds of statements that a request can send
STATEMENTS_KEPT = 1000
# lock_not_available, deadlock_detected, serialization_failure: the transaction can be run again
SCOPE = "SELECT set_config('app.company_id', %s, true)"
# A connection that rested this long is asked whether it lives before it is used.
RESTED_SECONDS = 1.0
RETRYABLE = frozenset({"55P03", "40P01", "40001"})

T = TypeVar("T")
# A mapped class, or a table without one.
Kind = Table | type[DeclarativeBase]


class Base(DeclarativeBase):
    """Tables of the POS side, all in schema ``pos``."""

    metadata = MetaData(schema="pos", naming_convention=NAMING)
    type_annotation_map = TYPES


db = SQLAlchemy(metadata=Base.metadata)


class _KeptStatements(PrepareManager):
    """The driver forgets all prepared statements at every ROLLBACK, and every request that only reads ends in one.

    PostgreSQL keeps them: what a rollback undoes is data. Who serves changes no tables, so they stay good.
    """

    def clear(self) -> bool:
        return False


def keep_statements(connection: Any, _record: object = None) -> None:
    """For a pool's ``connect`` event: parse and plan a statement once a connection, not once a request."""
    kept = _KeptStatements()
    kept.prepared_max = STATEMENTS_KEPT
    connection._prepared = kept


def note_rest(_connection: object, record: Any) -> None:
    """For a pool's ``checkin`` event."""
    record.info["rests_since"] = time.monotonic()


def ask_rested(connection: Any, record: Any, _proxy: object) -> None:
    """For a pool's ``checkout`` event: a ping, but not before each of the transactions of one request."""
    since = record.info.get("rests_since")
    if since is None or time.monotonic() - since < RESTED_SECONDS:
        return
    if connection.closed or connection.pgconn.exec_(b"").status != ExecStatus.EMPTY_QUERY:
        raise DisconnectionError("a rested connection is gone")


def engine_options(*, pool_size: int = 10, application: str = "portal") -> dict[str, Any]:
    """Engine settings that every process shares: time-outs so that nobody waits for ever."""
    return {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": 5,
        "pool_events": [(keep_statements, "connect"), (note_rest, "checkin"), (ask_rested, "checkout")],
        "connect_args": {
            "connect_timeout": 5,
            "application_name": application,
            # Disks seek as fast as they read on. With the default a plan made while a table was small stays a scan
            # of the whole, also in checks of foreign keys, until statistics are next taken.
            "options": "-c random_page_cost=1.1 -c lock_timeout=3s -c statement_timeout=15s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        },
    }


class PrivilegedRoleError(RuntimeError):
    """The process would serve with rights that make row-level security meaningless."""


def refuse_privileged(url: str) -> None:
    """Raise PrivilegedRoleError where the login of ``url`` is a superuser or has BYPASSRLS."""
    engine = create_engine(url, **engine_options(pool_size=1))
    try:
        with engine.connect() as connection:
            row = connection.execute(
                text("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = session_user")
            ).one()
    finally:
        engine.dispose()
    if row.rolsuper or row.rolbypassrls:
        raise PrivilegedRoleError(
            f"データベースのロール {row.rolname} は行レベルセキュリティを回避できるため、起動しません。"
            " DATABASE_URL には portal_app、LEDGER_DATABASE_URL には ledger_app を指定してください。"
        )


def bind_company(session: Session, company_id: int | None, *, scoped: bool = False) -> None:
    """Scope the session to one company: row-level security shows it that company's rows only.

    ``scoped``: a statement of the open transaction has done so already.
    """
    session.info["company_id"] = company_id
    if session.in_transaction() and not scoped:
        _apply_scope(session)


def _apply_scope(session: Session) -> None:
    company_id = session.info.get("company_id")
    session.connection().exec_driver_sql(SCOPE, ("" if company_id is None else str(company_id),))


@event.listens_for(Session, "after_begin")
def _scope_transaction(session: Session, _transaction: object, connection: Any) -> None:
    """BEGIN and the scope in one round trip: a request at the register has half a dozen transactions."""
    company_id = session.info.get("company_id")
    if company_id is None:
        return
    pgconn = connection.connection.driver_connection.pgconn
    if pgconn.transaction_status != TransactionStatus.IDLE:
        connection.exec_driver_sql(SCOPE, (str(company_id),))
        return
    result = pgconn.exec_(f"BEGIN; SELECT set_config('app.company_id', '{int(company_id)}', true)".encode())
    if result.status != ExecStatus.TUPLES_OK:
        # Gone or in trouble: the ordinary way finds out, and says so as the driver does.
        connection.exec_driver_sql(SCOPE, (str(company_id),))


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code of a database error, if it has one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def constraint_name(error: BaseException) -> str | None:
    """The constraint or unique index that a database error names."""
    diagnostics = getattr(getattr(error, "orig", None), "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def flush_unique(session: Session, constraint: str, taken: Exception) -> None:
    """Flush; where ``constraint`` says that there is such a thing already, roll back and raise ``taken``."""
    try:
        session.flush()
    except IntegrityError as error:
        if constraint_name(error) != constraint:
            raise
        session.rollback()
        raise taken from None


def run_write(session: Session, work: Callable[[Session], T], *, attempts: int = 3) -> T:
    """Run ``work`` and commit: the one commit of a request or a job.

    A deadlock, a lock time-out or a serialisation failure runs it again from the start, so ``work`` must
    read what it decides on. Any other error rolls back and is raised.
    """
    for attempt in range(1, attempts + 1):
        try:
            result = work(session)
            session.commit()
        except DBAPIError as error:
            session.rollback()
            if sqlstate(error) not in RETRYABLE or attempt == attempts:
                raise
            time.sleep(0.02 * attempt)
        except BaseException:
            session.rollback()
            raise
        else:
            return result
    raise AssertionError("unreachable")


def fetch(session: Session, statement: str, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Run one statement as the driver takes it (``%(name)s``), in the session's transaction, and give its rows.

    For the few paths that every seating and every delivery runs through: no mapped object, no statement built.
    Objects of the session are neither written first (flush where that matters) nor refreshed by it.
    """
    result = session.connection().exec_driver_sql(statement, dict(values))
    return result.all() if result.returns_rows else ()


def bulk_insert(session: Session, table: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows of one shape in one statement with one parameter; what is left out takes its default.

    Five times as fast as a flush of objects, which counts after an outage of hundreds of stores.
    """
    session.flush()
    bulk_insert_all(session, [(table, rows)])


def bulk_insert_all(session: Session, parts: Sequence[tuple[Kind, Sequence[Mapping[str, Any]]]]) -> None:
    """Rows of several tables in one statement, before the session's own; foreign keys are checked at its end."""
    inserts, values = [], {}
    for number, (table, rows) in enumerate(parts):
        if not rows:
            continue
        columns = ", ".join(f'"{name}"' for name in rows[0])
        name = (table if isinstance(table, Table) else cast(Table, table.__table__)).fullname
        # Names of our own models only, never of a request.
        inserts.append(
            f"INSERT INTO {name} ({columns}) SELECT {columns}"  # noqa: S608
            f" FROM jsonb_populate_recordset(NULL::{name}, CAST(%(rows{number})s AS jsonb))"
        )
        values[f"rows{number}"] = json.dumps([dict(row) for row in rows], default=str)
    if inserts:
        *first, last = inserts
        chain = ", ".join(f"part{number} AS ({insert})" for number, insert in enumerate(first))
        fetch(session, f"WITH {chain} {last}" if chain else last, values)
