"""One server per data directory, shared by every process that holds it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psycopg

from portal.embedded.binaries import ENVIRONMENT, MAJOR, EmbeddedError, ServerUser, usable_binaries

DATABASE = "reservation_link"
PORT = 5432  # names the socket file only: nothing listens on TCP
START_SECONDS = 120.0  # long enough for recovery after a crash
ORPHAN_SECONDS = 5.0
STOP_SECONDS = 60.0
LOG_BYTES = 5_000_000

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # DETAIL and STATEMENT would write guests' names and phone numbers into the log
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """The server of one data directory.

    Holders share a lock on ``users.lock``; the last one to leave stops the server. The server itself inherits
    a lock on ``server.lock``, so whether one runs is asked of the kernel and not of a pid that may belong to
    another program by now.

    As root it runs as ``nobody`` and touches the permissions of its own directories only. The data may lie
    below a directory that ``nobody`` cannot enter: the server is started *in* its data directory and is given
    ``/proc/self/cwd``, which needs no way through the parents.

    ``durable=False`` is for tests: a crash of the machine may cost the data. Which of the two holds is decided
    by whoever starts the server.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.home = data_dir.resolve() / "pg"
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.durable = durable
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        self.sockets = Path(f"/tmp/rlp-{digest}")  # noqa: S108 - short for the 107 bytes of a socket's path
        self._users: int | None = None
        self._holder = 0

    def __enter__(self) -> EmbeddedPostgres:
        self.ensure_running()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def url(self, user: str, database: str = DATABASE) -> str:
        """SQLAlchemy URL of a role over the private socket."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.sockets}&port={PORT}"

    @property
    def superuser_url(self) -> str:
        """For creating roles and databases only: nothing is served with it."""
        return self.url("postgres", "postgres")

    def ensure_running(self) -> None:
        """Start the server, or join the one that runs. Raises EmbeddedError."""
        if self._users is not None and self._holder == os.getpid():
            return
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            start = self._lock("start.lock", fcntl.LOCK_EX)
        except OSError as error:
            raise EmbeddedError(
                f"{self.home} に書き込めません({error.strerror})。データを作成したユーザーで実行するか、"
                "PORTAL_DATA に別の場所を指定してください。 (cannot write to the data directory)"
            ) from error
        try:
            users = self._lock("users.lock", fcntl.LOCK_SH)
            try:
                self._user = ServerUser.for_data(self.data)
                self._binaries = usable_binaries(self._user)
                self._prepare_sockets()
                self._prepare_data()
                self._bring_up()
            except BaseException:
                os.close(users)
                raise
            self._users, self._holder = users, os.getpid()
        finally:
            os.close(start)

    def release(self) -> None:
        """Leave the server; the last one to leave stops it."""
        users, self._users = self._users, None
        if users is None:
            return
        if self._holder != os.getpid():
            # a fork shares the lock of the process that holds it, and must not stop the server under it
            os.close(users)
            return
        start = self._lock("start.lock", fcntl.LOCK_EX)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
        finally:
            os.close(users)
            os.close(start)

    def _lock(self, name: str, operation: int) -> int:
        handle = os.open(self.home / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, operation)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _prepare_sockets(self) -> None:
        with suppress(FileExistsError):
            self.sockets.mkdir(mode=0o700)
            self._user.take(self.sockets)
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._user.uid or found.st_mode & 0o077:
            raise EmbeddedError(
                f"{self.sockets} は別のユーザーのものです。内容を確認して削除してから、もう一度実行してください。"
                f" ({self.sockets} belongs to somebody else or is open to others)"
            )

    def _prepare_data(self) -> None:
        if not self.data.exists():
            self._initdb()
            return
        if not self._user.switch and self.data.stat().st_uid != self._user.uid:
            raise EmbeddedError(
                f"{self.data} は別のユーザー(uid {self.data.stat().st_uid})が作成したものです。"
                "そのユーザーで実行するか、PORTAL_DATA に別の場所を指定してください。"
                " (the data belongs to another user)"
            )
        try:
            have = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        except OSError as error:
            raise EmbeddedError(
                f"{self.data} は PostgreSQL のデータではありません。内容を確認して移動するか、"
                "PORTAL_DATA に別の場所を指定してください。 (no PG_VERSION in the data directory)"
            ) from error
        if have != MAJOR:
            raise EmbeddedError(
                f"{self.data} は PostgreSQL {have} で作成されていますが、このプログラムに含まれるのは {MAJOR} です。"
                f"PostgreSQL {have} で pg_dumpall を実行し、新しい PORTAL_DATA に読み込んでください。"
                f" (data of major version {have}, program brings {MAJOR})"
            )

    def _initdb(self) -> None:
        draft = self.home / "data.draft"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        self._user.take(draft)
        # The builtin provider: sorted by code point, letters known beyond ASCII, and no dependence on the
        # machine's libc, whose updates silently break indexes.
        done = subprocess.run(
            [
                str(self._binaries / "initdb"), "-D", self._data_argument(draft), "-U", "postgres",
                "-A", "trust", "-E", "UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--data-checksums", "--no-instructions",
                *([] if self.durable else ["--no-sync"]),
            ],
            cwd=draft, capture_output=True, text=True, errors="replace", check=False, env=ENVIRONMENT,
            **self._user.process(),
        )  # fmt: skip
        if done.returncode:
            raise EmbeddedError(
                f"PostgreSQL のデータを {draft} に作成できませんでした。 (initdb failed)\n{done.stderr.strip()[-1200:]}"
            )
        (draft / "pg_hba.conf").write_text("local all all trust\n", encoding="ascii")
        draft.rename(self.data)

    def _data_argument(self, data: Path) -> str:
        return "/proc/self/cwd" if self._user.switch else str(data)

    def _bring_up(self) -> None:
        if self._alive():
            if self._wait_until_ready(None):
                return
            self._stop()
        self._remove_stale_pid()
        self._start()

    def _start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        options = SETTINGS | {"unix_socket_directories": str(self.sockets)}
        if not self.durable:
            options |= FOR_TESTS
        alive = self._lock("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            server = subprocess.Popen(
                [
                    str(self._binaries / "postgres"), "-D", self._data_argument(self.data),
                    *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
                ],
                cwd=self.data, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=(alive,), env=ENVIRONMENT, **self._user.process(),
            )  # fmt: skip
        finally:
            os.close(log)
            os.close(alive)
        try:
            ready = self._wait_until_ready(server)
        except BaseException:
            self._stop(server.pid)
            raise
        finally:
            server.returncode = server.returncode or 0  # it outlives us on purpose: no warning about that
        if not ready:
            if self._alive():
                self._stop(server.pid)
            raise EmbeddedError(
                "組み込みの PostgreSQL を起動できませんでした。原因は次の記録をご確認ください。"
                f" (the embedded PostgreSQL did not start; {self.log})\n{self._log_tail()}"
            )

    def _wait_until_ready(self, server: subprocess.Popen[bytes] | None) -> bool:
        """False where the server ended, lost its socket (somebody tidied /tmp), or took too long."""
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS:
            if self._answers():
                return True
            if (server is not None and server.poll() is not None) or not self._alive():
                return False
            socket_lost = not (self.sockets / f".s.PGSQL.{PORT}").exists()
            if server is None and socket_lost and time.monotonic() > began + ORPHAN_SECONDS:
                return False
            time.sleep(0.05)
        return False

    def _answers(self) -> bool:
        try:
            psycopg.connect(
                host=str(self.sockets), port=PORT, user="postgres", dbname="postgres", connect_timeout=3
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def _alive(self) -> bool:
        """Whether a process of this data directory runs, by our lock or, started by hand, by where it stands."""
        try:
            os.close(self._lock("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return True
        pid = self._pid()
        if pid is None:
            return False
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.data)
        except OSError:
            return False

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _remove_stale_pid(self) -> None:
        """Called with no server alive: its pid may be another program's by now, and PostgreSQL would refuse."""
        with suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()

    def _log_tail(self) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 1500))
                return log.read().decode("utf-8", errors="replace").strip()
        except OSError:
            return ""

    def _stop(self, started: int | None = None) -> None:
        """Fast shutdown (running transactions are rolled back), and immediate where that takes too long."""
        for how, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10.0)):
            pid = started or self._pid()
            if pid is None or not self._alive():
                break
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            deadline = time.monotonic() + patience
            while self._alive() and time.monotonic() < deadline:
                self._reap(pid)
                time.sleep(0.02)
        if self._alive():
            raise EmbeddedError(
                f"組み込みの PostgreSQL が停止しません。記録をご確認ください: {self.log}"
                f" (the embedded PostgreSQL does not stop)"
            )
        pid = started or self._pid()
        if pid is not None:
            self._reap(pid)

    @staticmethod
    def _reap(pid: int) -> None:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
