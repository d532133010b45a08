"""The project's own Celery tasks, in a worker that runs channels too: all as it is without `install`."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery

from tests.integration.reliable import ReliableSetup
from tests.processes import Process, wait_until
from tests.servers import RabbitServer, redis_server

#: Those that come first run last: they must not keep the others out of the worker.
_TIMED = """
from datetime import UTC, datetime, timedelta
for seconds in (4, 4, 4, 1, 1, 1):
    nap.apply_async((f"countdown {time.time() + seconds}",), countdown=seconds)
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    nap.apply_async((f"eta {due.timestamp()}",), eta=due)
"""


@dataclass
class OwnSetup(ReliableSetup):
    """The project with channels of both kinds, or the same without `install`, on a broker of its own."""

    installed: bool = True

    def env(self) -> dict[str, str | None]:
        """Return the environment of the project's processes."""
        return super().env() | ({} if self.installed else {"TEST_NOT_INSTALLED": "1"})

    def send_tasks(self, code: str) -> None:
        """Send tasks from a process of the project, which knows no queue but Celery's."""
        known = "assert list(nap.app.amqp.queues) == ['celery']"
        self.python(f"import time\nfrom tests.project_reliable.celery import late_nap, nap\n{code}\n{known}")

    def noted(self, *words: str, count: int) -> list[list[str]] | None:
        """Return the lines that begin with one of some words, split, once there are so many."""
        lines = [line.split() for line in self.lines() if line.split()[0] in words]
        return lines if len(lines) >= count else None

    def wait_for_start(self, worker: Process) -> None:
        """Wait until a worker reads all of its queues."""
        worker.wait_for_output(r" ready\.$", timeout=30)
        if self.installed:
            worker.wait_for_output(r"running \d+ reliable channels", timeout=30)
            worker.wait_for_output(r"running \d+ channels", timeout=30)

    def asked(self, what: str) -> Any:
        """Ask the worker as `celery inspect` does, from a process without channels."""
        with Celery("asking", broker=self.broker, set_as_current=False) as asking:
            answers = getattr(asking.control.inspect(timeout=5, limit=1), what)()
        return next(iter((answers or {}).values()))


@contextmanager
def running(*setups: OwnSetup, arguments: tuple[str, ...] = ()) -> Iterator[list[Process]]:
    """Run a worker for each, beside each other."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(setup.start("prefork", 2, ["-n", f"w{number}@%h", *arguments]))
            for number, setup in enumerate(setups)
        ]
        stack.callback(lambda: [worker.terminate() for worker in workers])
        for setup, worker in zip(setups, workers, strict=True):
            setup.wait_for_start(worker)
        yield workers


Make = Callable[[bool], OwnSetup]
Pair = list[tuple[OwnSetup, Process]]


@pytest.fixture(scope="module", params=["redis", "amqp"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes the project, told whether with `install`, on an empty broker and in an empty directory."""
    with redis_server() as redis:
        databases = itertools.count(1)

        def made(installed: bool) -> OwnSetup:
            broker, layer = redis.database(next(databases)), redis.database(next(databases))
            if request.param == "amqp":
                broker = request.getfixturevalue("rabbit_shared").new_vhost()
            setup = OwnSetup(broker, layer, tmp_path_factory.mktemp("own"), installed=installed)
            if installed:
                setup.migrate()
            return setup

        yield made


@pytest.fixture(scope="module")
def pair(make: Make) -> Iterator[Pair]:
    """The project without `install` and with it, with a worker each that may prefetch one task for each process."""
    setups = [make(False), make(True)]
    with running(*setups, arguments=("--prefetch-multiplier", "1")) as workers:
        yield list(zip(setups, workers, strict=True))


def test_given_tasks_with_a_time_expect_them_then(pair: Pair) -> None:
    """Given more of them than may be prefetched / Expect each after its time, and those due first before the others."""
    for setup, _ in pair:
        setup.send_tasks(_TIMED)
    for setup, _ in pair:
        lines = wait_until(lambda setup=setup: setup.noted("countdown", "eta", count=12), what="all tasks")  # type: ignore[misc]
        late = [float(began) - float(due) for _, due, began in lines]
        print(f"installed {setup.installed}: {min(late):.3f} to {max(late):.3f} s after their times")
        assert min(late) >= 0
        begun = [float(began) for _, due, began in sorted(lines, key=lambda line: float(line[1]))]
        assert max(begun[:6]) < min(begun[6:])


def test_given_waiting_tasks_expect_as_many_prefetched(pair: Pair) -> None:
    """Given 50 tasks / If each of two processes may prefetch one / Expect 2 to wait in the worker while 2 run."""
    for setup, _ in pair:
        setup.send_tasks("for number in range(50): nap.delay(f'nap {number}', 0.3)")
    seen = [(setup.installed, len(setup.asked(what)), what) for setup, what in until_all_begun(pair)]
    for installed in (False, True):
        for what in ("reserved", "active"):
            counts = [count for whose, count, which in seen if (whose, which) == (installed, what)]
            assert len(counts) > 5, "it answered often enough to tell"
            assert max(counts) == 2, (installed, what, counts)
    for setup, _ in pair:
        assert [queue["name"] for queue in setup.asked("active_queues")] == ["celery"]
        assert setup.asked("stats")["prefetch_count"] == 2


def until_all_begun(pair: Pair) -> Iterator[tuple[OwnSetup, str]]:
    """Yield what to ask whom, until all naps have begun."""
    while left := [setup for setup, _ in pair if not setup.noted("nap", count=50)]:
        yield from itertools.product(left, ("reserved", "active"))


@pytest.mark.parametrize("make", ["amqp"], indirect=True)
def test_given_reliable_channels_expect_rabbitmq_to_count_the_tasks_of_all_queues_together(
    pair: Pair, rabbit_shared: RabbitServer
) -> None:
    """Given quorum queues, for which it cannot do so / Expect it to, since Celery sees only its own queue."""
    rows = rabbit_shared.control("list_channels", "vhost", "global_prefetch_count", "--no-table-headers").splitlines()
    for setup, worker in pair:
        vhost = setup.broker.rpartition("/")[2]
        limits = [int(limit) for name, limit in map(str.split, rows) if name == vhost]
        assert [limit for limit in limits if limit] == [2]
        assert "Global QoS is disabled" not in worker.output()


def test_under_load_expect_the_pool_to_grow(make: Make) -> None:
    """Given a pool of 1 to 4 processes / If 8 tasks come / Expect 4 to run at once."""
    setups = [make(False), make(True)]
    with running(*setups, arguments=("--autoscale", "4,1")) as workers:
        for setup in setups:
            assert setup.asked("stats")["autoscaler"]["current"] == 1
            setup.send_tasks("for number in range(8): nap.delay(f'nap {number}', 1)")
        for setup, worker in zip(setups, workers, strict=True):
            lines = wait_until(lambda setup=setup: setup.noted("nap", count=8), what="all tasks")  # type: ignore[misc]
            begun = [float(began) for *_, began in lines]
            assert max(sum(first <= other < first + 1 for other in begun) for first in begun) == 4
            assert "Scaling up" in worker.output()
            assert setup.asked("stats")["autoscaler"]["current"] == 4


def test_if_a_worker_is_killed_expect_its_late_acknowledged_task_elsewhere(make: Make) -> None:
    """Given a task with acks_late / If its worker is killed / Expect another to run it in a lease (15 s) and a bit."""
    setup = make(True)
    with running(setup, setup) as workers:
        setup.send_tasks("late_nap.delay(60)")
        ((_, _, pid),) = wait_until(lambda: setup.noted("late", count=1), what="the first run")
        os.killpg(int(pid), signal.SIGKILL)
        killed = time.monotonic()
        runs = wait_until(lambda: setup.noted("late", count=2), timeout=20, what="the second run")
        print(f"again after {time.monotonic() - killed:.1f} s")
        (other,) = {worker.pid for worker in workers} - {int(pid)}
        assert runs == [["late", "False", pid], ["late", "True", str(other)]]
