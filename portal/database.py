"""The POS side's database: base class, session settings, tenant scope, unit of work."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

from flask_sqlalchemy import SQLAlchemy
from psycopg import Error as DriverError
from psycopg._preparing import PrepareManager
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import namedtuple_row
from pydantic_core import to_json
from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    DateTime,
    MetaData,
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
# A row of ``fetch``: a named tuple of whatever the statement selects.
Found: TypeAlias = Any
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
            "options": "-c random_page_cost=1.1 -c jit=off -c lock_timeout=3s -c statement_timeout=15s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        },
    }


class PrivilegedRoleError(RuntimeError):
    """The process would serve with rights that make row-level security meaningless."""


def libpq(url: str | None) -> str:
    """A database URL of SQLAlchemy as psycopg itself takes it; "" for None."""
    return (url or "").replace("+psycopg", "", 1)


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


def fetch(session: Session, statement: str, values: Mapping[str, Any]) -> Sequence[Found]:
    """Run one statement as the driver takes it (``%(name)s``), in the session's transaction, and give its rows.

    Rows are named tuples. For the few paths that every seating and every delivery runs through: no mapped object, no
    statement built, half the cost of SQLAlchemy's own execution. Objects of the session are neither written first (flush
    where that matters) nor refreshed by it. Errors are SQLAlchemy's, without the values.
    """
    connection = session.connection()
    try:
        cursor = connection.connection.cursor(row_factory=namedtuple_row)
        cursor.execute(statement, values)
        found = cursor.pgresult
        return cursor.fetchall() if found is not None and found.status == ExecStatus.TUPLES_OK else ()
    except DriverError as error:
        raise _wrapped(connection, statement, error) from error


def _wrapped(connection: Connection, statement: str, error: DriverError) -> DBAPIError:
    """The driver's error as the session's other statements raise it; a dead connection leaves the pool."""
    dialect = connection.dialect
    gone = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if gone:
        connection.invalidate(error)
    found = DBAPIError.instance(
        statement,
        None,
        error,
        DriverError,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=dialect,
    )
    assert isinstance(found, DBAPIError)
    return found


def bulk_insert(session: Session, table: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows of one shape in one statement with one parameter; what is left out takes its default.

    Five times as fast as a flush of objects, which counts after an outage of hundreds of stores.
    """
    session.flush()
    write_rows(session, [inserted(table, rows)])


@dataclass(frozen=True)
class Part:
    """Rows of one table and what is done with them, as one piece of a statement.

    ``{rows}`` is where they come in; ``{keys}``, where it stands, their values of ``key``: so that rows are found by them,
    whatever the planner thinks of the table's size.
    """

    statement: str
    rows: Sequence[Mapping[str, Any]]
    key: str = ""


def inserted(table: Kind, rows: Sequence[Mapping[str, Any]]) -> Part:
    """Rows of one shape to insert; what is left out takes its default."""
    return Part(_insert(_name(table), tuple(rows[0])) if rows else "", rows)


def updated(table: Kind, key: str, rows: Sequence[Mapping[str, Any]]) -> Part:
    """Rows of one shape that are there, found by ``key``; what is left out stays."""
    return Part(_update(_name(table), key, tuple(rows[0])) if rows else "", rows, key)


def deleted(table: Kind, rows: Sequence[Mapping[str, Any]]) -> Part:
    """Rows to delete: those that have these values; the first column begins an index."""
    return Part(_delete(_name(table), tuple(rows[0])), rows, next(iter(rows[0]))) if rows else Part("", rows)


def _name(table: Kind) -> str:
    return (table if isinstance(table, Table) else cast(Table, table.__table__)).fullname


# Names of our own models only, never of a request.
@cache
def _insert(name: str, columns: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{column}"' for column in columns)
    return (
        f"INSERT INTO {name} ({listed}) SELECT {listed} FROM jsonb_populate_recordset(NULL::{name}, {{rows}})"  # noqa: S608
    )


@cache
def _update(name: str, key: str, columns: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{column}" = told."{column}"' for column in columns if column != key)
    return (
        f"UPDATE {name} AS kept SET {changes}"  # noqa: S608
        f" FROM jsonb_populate_recordset(NULL::{name}, {{rows}}) AS told"
        f' WHERE kept."{key}" = ANY({{keys}}) AND kept."{key}" = told."{key}"'
    )


@cache
def _delete(name: str, columns: tuple[str, ...]) -> str:
    same = " AND ".join(f'kept."{column}" = told."{column}"' for column in columns)
    return (
        f"DELETE FROM {name} AS kept USING jsonb_populate_recordset(NULL::{name}, {{rows}}) AS told"  # noqa: S608
        f' WHERE kept."{columns[0]}" = ANY({{keys}}) AND {same}'
    )


def write_rows(session: Session, parts: Sequence[Part]) -> None:
    """Rows of several tables in one statement, before the session's own; foreign keys are checked at its end.

    No row may be named by two parts: they do not see each other's work.
    """
    full = [part for part in parts if part.rows]
    if not full:
        return
    *first, last = (
        part.statement.format(rows=f"CAST(%(rows{number})s AS jsonb)", keys=f"%(keys{number})s")
        for number, part in enumerate(full)
    )
    chain = ", ".join(f"part{number} AS ({each})" for number, each in enumerate(first))
    values: dict[str, Any] = {}
    for number, part in enumerate(full):
        values[f"rows{number}"] = to_json(list(part.rows), fallback=str).decode()
        values[f"keys{number}"] = [row[part.key] for row in part.rows] if part.key else None
    fetch(session, f"WITH {chain} {last}" if chain else last, values)
