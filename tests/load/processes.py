"""The product as real processes on sockets: PostgreSQL, the ledger, a proxy in between, web, worker."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import psutil

from portal import demo, migrate
from portal.embedded import EmbeddedPostgres
from portal.settings import Settings
from tests.ports import free_port


class Proxy:
    """A TCP proxy to the ledger that cuts, stalls and throttles: ``mode`` pass, cut, stall or slow."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.mode = target, free_port(), "pass"
        self.hit: Counter[str] = Counter()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.mode == "cut":
                self.hit["refused"] += 1
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 2)
            except OSError:
                client.close()
                continue
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if self.mode != "pass":
                    self.hit[self.mode] += 1
                while self.mode == "stall":
                    time.sleep(0.05)
                if self.mode == "cut":
                    break
                if self.mode == "slow":
                    for start in range(0, len(data), 64):
                        other.sendall(data[start : start + 64])
                        time.sleep(0.005)
                else:
                    other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Child(Protocol):
    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Forked:
    """A process that the nursery forked; it reaps it, so that it is gone when no such pid is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 60)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("portal", timeout or 60)
            time.sleep(0.01)
        return 0


@dataclass
class Product:
    """All processes; ``kill`` ends one with SIGKILL, ``start`` brings it back.

    ``forked``: they are forked from a process that has imported the program (``nursery``) instead of started anew.
    ``prepare`` gets the settings once, after the demo data and before anything serves.
    """

    home: Path
    durable: bool = True
    children: dict[str, Child] = field(default_factory=dict)
    forked: bool = False
    prepare: Callable[[Settings], None] | None = None

    def __post_init__(self) -> None:
        self.server = EmbeddedPostgres(self.home / "data", durable=self.durable)
        self.server.ensure_running()
        admin = self.server.url("postgres", "postgres")
        migrate.ensure_roles(admin, owner=True)
        migrate.ensure_database(admin, "portal")
        base = {
            "PORTAL_DATA": str(self.home), "DATABASE_URL": self.server.url("portal_app", "portal"),
            "LEDGER_DATABASE_URL": self.server.url("ledger_app", "portal"), "WEB_THREADS": "8",
        }  # fmt: skip
        self.owner = self.server.url("portal_owner", "portal")
        migrate.upgrade(self.owner)
        settings = Settings.from_env({**base, "OWNER_DATABASE_URL": self.owner})
        demo.load(settings)
        if self.prepare is not None:
            self.prepare(settings)
        self.nursery = (
            subprocess.Popen(
                [sys.executable, "-m", "tests.load.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            if self.forked
            else None
        )
        self.ledger_port, self.web_port = free_port(), free_port()
        self.proxy = Proxy(self.ledger_port)
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        portal = {
            **kept,
            **base,
            "PORT": str(self.web_port),
            "LEDGER_URL": f"http://127.0.0.1:{self.proxy.port}",
        }
        self.commands = {
            "ledger": (["serve", "--only", "ledger"], {**kept, **base, "PORT": str(self.ledger_port)}),
            "web": (["serve", "--only", "portal"], portal),
            "worker": (["worker"], portal),
        }
        for name in self.commands:
            self.start(name)
        self.wait_for(f"http://127.0.0.1:{self.web_port}/readyz")
        self.wait_for(f"http://127.0.0.1:{self.ledger_port}/login")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def start(self, name: str) -> None:
        if name == "postgres":
            self.server = EmbeddedPostgres(self.home / "data", durable=self.durable)
            for _ in range(50):
                with contextlib.suppress(Exception):
                    self.server.ensure_running()
                    return
                time.sleep(0.2)
            raise RuntimeError("PostgreSQL did not come back")
        arguments, env = self.commands[name]
        if self.nursery is not None:
            assert self.nursery.stdin is not None
            assert self.nursery.stdout is not None
            wanted = {"arguments": arguments, "env": env, "log": str(self.home / f"{name}.log")}
            self.nursery.stdin.write(json.dumps(wanted).encode() + b"\n")
            self.nursery.stdin.flush()
            self.children[name] = Forked(int(self.nursery.stdout.readline()))
            return
        with (self.home / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", "portal.cli", *arguments], env=env, stdout=log, stderr=log
            )

    def kill(self, name: str, *, alone: bool = True) -> None:
        """SIGKILL, and gone. ``alone``: of PostgreSQL only the postmaster; else everything of it at once."""
        if name != "postgres":
            self.children[name].kill()
            self.children[name].wait()
            return
        pid = self.server._pid()
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(pid)
            victims = [postmaster] if alone else [postmaster, *postmaster.children()]
            for victim in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(postmaster.pid, 0)
        if self.server._users is not None:
            os.close(self.server._users)
            self.server._users = None

    def keep_up(self) -> None:
        """Start again what ended by itself, as a service manager does."""
        for name, child in list(self.children.items()):
            if child.poll() is not None:
                self.start(name)

    @staticmethod
    def wait_for(address: str, seconds: float = 120, content: bytes | None = None) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.request("GET", address, content=content, timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{address} does not answer")

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()
        if self.nursery is not None:
            self.nursery.kill()
            self.nursery.wait()
        self.server.release()


def pause(rng: random.Random, most: float) -> None:
    time.sleep(rng.uniform(0, most))
