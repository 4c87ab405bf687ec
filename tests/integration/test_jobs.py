"""Background work: with the change or not at all, again after a failure, and after its worker died."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from portal import jobs, worker
from portal.database import bind_company, db, libpq, run_write
from portal.link import tasks as link_tasks
from tests.conftest import World

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def _tasks() -> Iterator[None]:
    known = set(jobs.TASKS)
    SEEN.clear()
    yield
    for name in set(jobs.TASKS) - known:
        del jobs.TASKS[name]


def stores_task() -> jobs.Task:
    @jobs.task("test.stores")
    def stores(job: jobs.Job, *, label: str) -> None:
        count = job.session.scalar(text("SELECT count(*) FROM pos.store"))
        SEEN.append((label, job.company_id, count))

    return stores


def in_company(world: World, work: Any, company: int | None = 1) -> Any:
    with world.app.app_context():
        bind_company(db.session(), company)
        return work(db.session())


def queued(world: World) -> Any:
    return world.one("SELECT count(*) FROM procrastinate.procrastinate_jobs")


def test_a_job_exists_when_its_change_is_committed_and_sees_its_company_only(world: World) -> None:
    task = stores_task()

    def undone(session: Session) -> None:
        jobs.defer(session, task, company_id=1, label="undone")
        session.rollback()

    in_company(world, undone)
    assert queued(world) == 0
    in_company(world, lambda s: run_write(s, lambda s: jobs.defer(s, task, company_id=1, label="done")))
    assert queued(world) == 1
    assert jobs.run_due(world.app) == 1
    assert SEEN == [("done", 1, 3)]
    assert queued(world) == 0
    in_company(world, lambda s: run_write(s, lambda s: jobs.defer(s, task, company_id=None, label="nobody")))
    jobs.run_due(world.app)
    assert SEEN[-1] == ("nobody", None, 0)
    with world.app.app_context():
        assert jobs.company_ids(db.session()) == [1, 2]


def test_a_second_waiting_job_is_left_out_and_undoes_nothing(world: World) -> None:
    task = stores_task()

    def twice(session: Session) -> tuple[bool, bool]:
        first = jobs.defer(session, task, company_id=1, once="x", label="1")
        session.execute(text("UPDATE pos.store SET name = 'changed' WHERE code = '001'"))
        return first, jobs.defer(session, task, company_id=1, once="x", label="2")

    assert in_company(world, lambda s: run_write(s, twice)) == (True, False)
    assert world.one("SELECT name FROM pos.store WHERE company_id = 1 AND code = '001'") == "changed"
    with world.app.app_context():
        assert not jobs.defer_soon(task, company_id=1, once="x", label="3")
    assert jobs.run_due(world.app) == 1
    with world.app.app_context():
        assert jobs.defer_soon(task, company_id=1, once="x", label="4")


def test_a_wake_up_never_stops_the_person_it_comes_from(world: World) -> None:
    task = stores_task()
    world.run("ALTER TABLE procrastinate.procrastinate_jobs RENAME TO away")
    with world.app.app_context():
        assert not jobs.defer_soon(task, company_id=1, label="x")


def test_a_failure_is_tried_again_later_and_given_up_in_the_end(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @jobs.task("test.fails", attempts=2)
    def fails(job: jobs.Job) -> None:
        SEEN.append(job.attempt)
        raise ValueError("予約 花子")

    in_company(world, lambda s: run_write(s, lambda s: jobs.defer(s, fails, company_id=1)))
    assert jobs.run_due(world.app) == 1
    assert jobs.run_due(world.app) == 0
    assert jobs.run_due(world.app, early=True) == 1
    assert SEEN == [0, 1]
    with world.app.app_context():
        assert jobs.counts(db.session()) == {("test.fails", "failed"): 1}
    assert "ValueError" in caplog.text


def test_a_job_may_ask_for_another_turn(world: World) -> None:
    @jobs.task("test.turns")
    def turns(job: jobs.Job) -> None:
        SEEN.append(job.attempt)
        if job.attempt < 2:
            raise jobs.Again

    in_company(world, lambda s: run_write(s, lambda s: jobs.defer(s, turns, company_id=1)))
    assert jobs.run_due(world.app) == 3
    assert SEEN == [0, 1, 2]


def test_a_job_waits_for_its_time_and_for_its_lock(world: World) -> None:
    task = stores_task()
    later = datetime.now(UTC) + timedelta(hours=1)

    def both(session: Session) -> None:
        jobs.defer(session, task, company_id=1, at=later, label="later")
        jobs.defer(session, task, company_id=1, lock="l", label="first")
        jobs.defer(session, task, company_id=1, lock="l", label="second")
        jobs.defer(session, task, company_id=1, priority=5, label="urgent")

    in_company(world, lambda s: run_write(s, both))
    jobs.run_due(world.app)
    assert [label for label, _, _ in SEEN] == ["urgent", "first", "second"]


def test_the_ledger_and_an_unset_company_get_nothing_of_it(world: World) -> None:
    url = libpq(world.settings.ledger_database_url)
    with psycopg.connect(url, autocommit=True) as ledger:
        for sql in (
            "SELECT 1 FROM procrastinate.procrastinate_jobs",
            "SELECT * FROM pos.company_ids()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ledger.execute(sql)


def test_D1_a_lane_is_woken_only_when_it_is_due(world: World) -> None:
    link = world.one("SELECT link_id FROM pos.delivery_lane")
    before = len(world.network.calls)
    world.run("UPDATE pos.delivery_lane SET next_try_at = now() + interval '10 s'")
    with world.app.app_context():
        jobs.defer_soon(link_tasks.deliver, company_id=1, link_id=str(link))
    assert jobs.run_due(world.app) == 1
    assert len(world.network.calls) == before
    with world.app.app_context():
        assert jobs.counts(db.session()) == {}


def test_D1_what_a_request_left_over_wakes_a_worker(world: World) -> None:
    """Another holds the lane: the person is told (M6), and a job waits, one however often it happens."""
    pos = world.register()
    world.run(
        "UPDATE pos.delivery_lane SET lease_token = gen_random_uuid(), lease_until = now() + interval '30 s'"
    )
    for table in ("A1", "A2"):
        answer = pos.post(f"/register/seat/{world.table(table)}", op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="",
                          then="tables")  # fmt: skip
        assert answer.status_code == 303
    with world.app.app_context():
        assert jobs.counts(db.session()) == {("link.deliver", "todo"): 1}
    assert world.one("SELECT count(*) FROM pos.visit WHERE answered_revision < revision") == 2
    world.run("UPDATE pos.delivery_lane SET lease_token = NULL, lease_until = NULL")
    assert jobs.run_due(world.app) == 1
    assert world.one("SELECT count(*) FROM pos.visit WHERE answered_revision < revision") == 0


@pytest.mark.slow
def test_D1_the_real_worker_takes_over_what_a_dead_one_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Procrastinate itself: a job of a worker whose heart stopped, a new one, a periodic one, and an orderly end."""

    @jobs.task("test.done", attempts=5)
    def done(job: jobs.Job, *, label: str) -> None:
        SEEN.append((label, job.company_id, job.attempt))

    @jobs.task("test.often", cron="* * * * * */1")
    def often(job: jobs.Job) -> None:
        SEEN.append(("often", job.company_id, job.attempt))

    world.run(
        "INSERT INTO procrastinate.procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 h')"
    )
    world.run(
        "INSERT INTO procrastinate.procrastinate_jobs (queue_name, task_name, args, lock, status, worker_id)"
        " SELECT 'default', 'test.done', '{\"company_id\": 1, \"label\": \"orphan\"}', 'l', 'doing', id"
        " FROM procrastinate.procrastinate_workers"
    )
    monkeypatch.setattr(worker, "create_app", lambda settings: world.app)
    monkeypatch.setattr(worker, "dispose", lambda app: None)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(world.settings, stop))
    thread.start()
    try:
        with world.app.app_context():
            jobs.defer_soon(done, company_id=2, lock="l", label="behind")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not {s[0] for s in SEEN} >= {"orphan", "behind", "often"}:
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert ("orphan", 1, 1) in SEEN
    assert ("behind", 2, 0) in SEEN
    assert ("often", None, 0) in SEEN
    assert world.one("SELECT count(*) FROM procrastinate.procrastinate_workers") == 0


def test_D1_a_lane_that_waits_for_a_silent_ledger_does_not_keep_the_other_lanes_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(
        "CREATE OR REPLACE FUNCTION pos.due_lanes(moment timestamptz, most integer)"
        " RETURNS TABLE (company_id bigint, link_id uuid) LANGUAGE sql AS"
        " $$ VALUES (1::bigint, gen_random_uuid()), (2, gen_random_uuid()) $$"
    )
    both, scopes = threading.Barrier(2), []

    class Silent:
        clock = world.app.extensions["deliverer"].clock

        def deliver_once(self, session: Session, _link_id: uuid.UUID) -> None:
            # One after the other they would never meet.
            both.wait(10)
            scopes.append(session.info["company_id"])

    monkeypatch.setitem(world.app.extensions, "deliverer", Silent())
    assert worker.sweep(world.app) == 2
    assert sorted(scopes) == [1, 2]
