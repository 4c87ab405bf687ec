"""Roles and schema: what an owner does before anything is served."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine, make_url, text

from portal.settings import Settings

APP_ROLES = ("portal_app", "ledger_app")
OWNER = "portal_owner"
LOCK = 7_210_020_611


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    return config


def ensure_roles(admin_url: str, passwords: dict[str, str] | None = None, *, owner: bool = False) -> None:
    """Create the login roles that serve (and, with ``owner``, the one that migrates) where missing.

    ``passwords`` by role name; without one a role can log in only where the server trusts the socket.
    """
    engine = create_engine(admin_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            cursor = connection.connection.cursor()
            for role in (*APP_ROLES, *((OWNER,) if owner else ())):
                found = cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
                verb = "ALTER" if found else "CREATE"
                statement: sql.Composable = sql.SQL(
                    verb + " ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"
                ).format(sql.Identifier(role))
                if passwords and role in passwords:
                    statement += sql.SQL(" PASSWORD {}").format(sql.Literal(passwords[role]))
                cursor.execute(statement)
    finally:
        engine.dispose()


def ensure_database(admin_url: str, name: str) -> None:
    """Create the embedded server's database, owned by the migrating role."""
    engine = create_engine(admin_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            cursor = connection.connection.cursor()
            if not cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
                )
    finally:
        engine.dispose()


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Bring the schema to the newest version; of two that start together one waits."""
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
            connection.commit()
    finally:
        engine.dispose()


def at_head(owner_url: str) -> bool:
    """Whether the schema is the one that this program was written for."""
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table_schema": "public"})
            return context.get_current_revision() == ScriptDirectory.from_config(_config()).get_current_head()
    finally:
        engine.dispose()


def with_roles(settings: Settings) -> Settings:
    """Where DATABASE_URL may make roles, it is the owner, and the serving roles are made with kept passwords.

    Otherwise the settings as they are: the roles then exist, and each URL names its own.
    """
    given = settings.database_url or ""
    engine = create_engine(given)
    try:
        with engine.connect() as connection:
            row = connection.execute(
                text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user")
            ).scalar()
    finally:
        engine.dispose()
    if not row or settings.ledger_database_url is not None:
        return settings
    passwords = _kept_passwords(settings.data_dir)
    ensure_roles(given, passwords)
    urls = {
        role: make_url(given).set(username=role, password=secret).render_as_string(hide_password=False)
        for role, secret in passwords.items()
    }
    return replace(
        settings,
        database_url=urls["portal_app"],
        ledger_database_url=urls["ledger_app"],
        owner_database_url=given,
    )


def _kept_passwords(data_dir: Path) -> dict[str, str]:
    path = data_dir / "database-roles.json"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps({role: secrets.token_urlsafe(24) for role in APP_ROLES}), encoding="utf-8")
    kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return kept
