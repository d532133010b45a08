"""Plain Celery tasks on Redis with the safe transport: killed, restarted, longer than their lease.

`tests/chaos` shows the same of reliable channels, and that Kombu's own transport fails there.
"""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.acceptance.kills import Workers, is_empty, kill_while_working
from tests.processes import Process, wait_until
from tests.scale import scaled
from tests.servers import RedisServer

pytestmark = pytest.mark.chaos

KILLS = scaled(1, 20)


@pytest.fixture
def workers(new_redis: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Makes workers on a Redis of the test's own that writes each message to disk."""
    made: list[Workers] = []

    def make(server: RedisServer | None = None, **options: Any) -> Workers:
        if server is None:
            server = new_redis(appendonly=True)
        made.append(Workers(server.url, tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _has_ended(process: Process) -> bool:
    return process.returncode is not None


@pytest.mark.parametrize("concurrency", scaled([4], [1, 4]))
def test_nothing_is_lost_when_workers_are_killed(workers: Callable[..., Workers], concurrency: int) -> None:
    """Given tasks of 20 ms / If their worker's whole process group is killed again and again / Expect each to end."""
    some = workers(arguments=("-c", str(concurrency)))
    toll = kill_while_working(some, messages=60 * KILLS * concurrency, kills=KILLS, seed=concurrency)
    print(toll)
    assert toll.kills == KILLS, toll
    assert toll.lost == [], toll
    assert toll.extra_starts <= toll.kills * 2 * concurrency, toll
    assert toll.slowest < 30, toll
    wait_until(lambda: is_empty(some.url), what="an empty queue and record")


@pytest.mark.parametrize("pool", scaled(["threads"], ["threads", "prefork"]))
def test_nothing_is_lost_or_repeated_when_workers_are_restarted(workers: Callable[..., Workers], pool: str) -> None:
    """Given two workers and a stream of tasks / If each is restarted (SIGTERM) / Expect each task to run once."""
    some, stop, sent = workers(multiplier=4, arguments=("-c", "2", "-P", pool)), threading.Event(), []

    def send() -> None:
        while not stop.wait(0.005):
            some.send("work", len(sent), 0.005)
            sent.append(None)

    running = [some.start(), some.start()]
    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(KILLS):
            process, seen = running.pop(0), len(some.lines())
            wait_until(lambda seen=seen: len(some.lines()) > seen + 20, timeout=30, what="tasks to run")  # type: ignore[misc]
            process.signal(signal.SIGTERM)
            running.append(some.start())
            # prefork now and then waits for 30 s, on any broker: see below
            wait_until(lambda process=process: _has_ended(process), timeout=60, what="the worker to end")  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
    wait_until(lambda: len(some.ends()) == len(sent), timeout=30, what="all tasks to end")
    assert set(some.ends()) == set(range(len(sent)))
    # Celery's prefork forgets a task that it has just written to a process, which runs it all the same: on any broker
    repeated = sum(some.starts().values()) - len(sent)
    assert repeated <= (2 * KILLS if pool == "prefork" else 0)
    wait_until(lambda: is_empty(some.url), what="an empty queue and record")


@pytest.mark.parametrize("pool", scaled(["threads", "solo"], ["prefork", "threads", "solo"]))
def test_tasks_longer_than_their_lease_start_once(workers: Callable[..., Workers], pool: str) -> None:
    """Given tasks of two leases / If two workers with this pool run them / Expect each to start once."""
    some = workers(options={"lease": 1}, multiplier=1 if pool == "solo" else 2, arguments=("-c", "2", "-P", pool))
    tasks = 2 if pool == "solo" else 4
    for number in range(tasks):
        some.send("work", number, 2.2)
    for _ in range(2):
        some.start()
    wait_until(lambda: len(some.ends()) == tasks, timeout=40, what="all tasks to end")
    assert some.starts() == some.ends() == Counter(range(tasks))
    wait_until(lambda: is_empty(some.url), what="an empty queue and record")


def test_a_task_that_kills_its_process_is_counted(workers: Callable[..., Workers]) -> None:
    """Given a task that kills the process that runs it / If it comes back / Expect a count that rises each time."""
    some = workers(arguments=("-c", "1"))
    some.send("poison", 1)
    some.send("work", 2, 0.01)
    some.start()
    wait_until(lambda: len(some.ends()) == 2, timeout=40, what="both tasks to end")
    assert [line[2] for line in some.lines() if line[:2] == ["start", "1"]] == ["0", "1", "2"]


def test_workers_go_on_when_redis_was_killed(
    workers: Callable[..., Workers], new_redis: Callable[..., RedisServer]
) -> None:
    """Given a worker / If Redis (appendfsync always) is killed under it / Expect it to go on, nothing lost, in 10 s."""
    server = new_redis(appendonly=True, appendfsync="always")
    some = workers(server)
    some.start()
    sent = 0
    for _ in range(max(1, KILLS // 2)):
        for _ in range(150):
            some.send("work", sent, 0.02)
            sent += 1
        seen = len(some.lines())
        wait_until(lambda seen=seen: len(some.lines()) > seen + 20, timeout=30, what="tasks to run")  # type: ignore[misc]
        said = len(some.processes[0].output())
        server.kill()
        some.processes[0].wait_for_output("Connection to broker lost", start=said)
        wait_until(lambda: not some.running(), what="what runs to end")
        before = set(some.ends())
        server.start()
        back = time.monotonic()
        wait_until(lambda before=before: set(some.ends()) - before, timeout=10, what="it to go on")  # type: ignore[misc]
        print(f"went on after {time.monotonic() - back:.1f} s")
    wait_until(lambda sent=sent: len(some.ends()) == sent, timeout=40, what="all tasks to end")  # type: ignore[misc]
    wait_until(lambda: is_empty(some.url), what="an empty queue and record")
    assert some.processes[0].returncode is None


def test_tasks_run_on_when_their_connection_is_cut(workers: Callable[..., Workers]) -> None:
    """Given tasks that run / If Redis cuts the worker's connections / Expect each to start once, its end to count."""
    some = workers()
    for number in range(3):  # there is room for a fourth, so the worker waits at the bell
        some.send("work", number, 1)
    some.start()
    wait_until(lambda: len(some.starts()) == 3, timeout=30, what="tasks to run")
    with redis.Redis.from_url(some.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: "broker lost" in some.processes[0].output(), what="the worker to notice")
    some.send("work", 3, 1)
    wait_until(lambda: len(some.ends()) == 4, timeout=30, what="all tasks to end")
    wait_until(lambda: is_empty(some.url), what="an empty queue and record")
    assert some.starts() == Counter(range(4))
