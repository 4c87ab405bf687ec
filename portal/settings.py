"""Settings, parsed once from the environment."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.fernet import Fernet


class SettingsError(ValueError):
    """A setting that cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Settings:
    """Everything a process needs to know. Secrets are left out of ``repr``."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    database_url: str | None = field(default=None, repr=False)
    ledger_database_url: str | None = field(default=None, repr=False)
    owner_database_url: str | None = field(default=None, repr=False)
    ledger_url: str | None = None
    ledger_public_url: str = "/ledger"
    secret_key: str = field(default="", repr=False)
    token_key: str = field(default="", repr=False)
    secure_cookies: bool = False
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str = "portal@localhost"
    metrics_token: str = field(default="", repr=False)
    webhook_private: bool = False
    web_threads: int = 16

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; raises SettingsError with the name of the variable that is wrong."""
        env = os.environ if environ is None else environ
        data_dir = Path(env.get("PORTAL_DATA") or ".data").absolute()
        settings = cls(
            data_dir=data_dir,
            host=env.get("HOST") or "127.0.0.1",
            port=_number(env, "PORT", 8000, 1, 65535),
            database_url=_url(env, "DATABASE_URL"),
            ledger_database_url=_url(env, "LEDGER_DATABASE_URL"),
            owner_database_url=_url(env, "OWNER_DATABASE_URL"),
            ledger_url=(env.get("LEDGER_URL") or "").rstrip("/") or None,
            ledger_public_url=(env.get("LEDGER_PUBLIC_URL") or "/ledger").rstrip("/"),
            smtp_url=_smtp(env),
            mail_from=env.get("MAIL_FROM") or "portal@localhost",
            metrics_token=env.get("METRICS_TOKEN") or "",
            webhook_private=env.get("WEBHOOK_PRIVATE", "") in ("1", "true"),
            secure_cookies=env.get("SECURE_COOKIES", "") in ("1", "true"),
            web_threads=_number(env, "WEB_THREADS", 16, 1, 200),
        )
        kept = _kept_secrets(data_dir) if not (env.get("SECRET_KEY") and env.get("TOKEN_KEY")) else {}
        token_key = env.get("TOKEN_KEY") or kept["token_key"]
        try:
            Fernet(token_key)
        except ValueError as error:
            raise SettingsError("TOKEN_KEY must be a Fernet key (32 bytes, urlsafe base64)") from error
        return replace(settings, secret_key=env.get("SECRET_KEY") or kept["secret_key"], token_key=token_key)


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    raw = env.get(name)
    if not raw:
        return default
    if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
        raise SettingsError(f"{name}={raw!r} must be a number from {low} to {high}")
    return int(raw)


def _url(env: Mapping[str, str], name: str) -> str | None:
    raw = env.get(name)
    if not raw:
        return None
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if raw.startswith(prefix):
            return "postgresql+psycopg://" + raw.removeprefix(prefix)
    raise SettingsError(f"{name} must be a postgresql:// URL")


def _smtp(env: Mapping[str, str]) -> str | None:
    raw = env.get("SMTP_URL")
    if raw and not raw.startswith(("smtp://", "smtps://")):
        raise SettingsError("SMTP_URL must be smtp://user:password@host:port or smtps://…")
    return raw or None


def _kept_secrets(data_dir: Path) -> dict[str, str]:
    """Secrets made once per data directory; two processes that start together agree on one file."""
    path = data_dir / "secrets.json"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        made = {"secret_key": secrets.token_urlsafe(48), "token_key": Fernet.generate_key().decode()}
        draft = data_dir / f".secrets-{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(made), encoding="utf-8")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    loaded: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
