"""What a worker's pool does for reliable channels beside running them: each kind of job one at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channelcelery.core.reliable import Reliable
from channelcelery.message import Message
from channelcelery.routing import Router, replace_router, route
from channelcelery.worker import reliable_errands
from channelcelery.worker.reliable_errands import (
    DRAIN_EVERY,
    RELAY_EVERY,
    TIDY_EVERY,
    Errands,
    drain_dead,
    relay_outbox,
    sweep_marks,
)


def consume(message: Message) -> None: ...


class Timer:
    """A worker's timer that a test turns by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_repeatedly(self, seconds: float, call: Callable[[], None]) -> Any:
        self.calls.append((seconds, call))
        return self

    def cancel(self) -> None:
        self.calls.clear()


class Pool:
    """A pool whose jobs a test ends."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, Any]] = []

    def apply_async(self, job: Any, arguments: Any, callback: Any, error_callback: Any) -> None:
        self.jobs.append((job, callback))


@pytest.fixture
def policy() -> Iterator[Callable[[Reliable], None]]:
    formers = []

    def route_with(policy: Reliable) -> None:
        formers.append(replace_router("default", Router([route("orders", consume, reliable=policy)])))

    yield route_with
    replace_router("default", formers[0])


@pytest.mark.parametrize(
    ("given", "every"),
    [
        (Reliable(), TIDY_EVERY),
        (Reliable(outbox=True), RELAY_EVERY),
        (Reliable(idempotent=True), RELAY_EVERY),  # what its consumer sends goes there
    ],
)
def test_given_a_policy_expect_the_outbox_looked_into_as_often_as_it_needs(
    policy: Callable[[Reliable], None], given: Reliable, every: float
) -> None:
    policy(given)
    timer, pool = Timer(), Pool()
    errands = Errands(timer, pool, ["default"])
    for _, call in timer.calls:
        call()
    found = dict(zip([job for job, _ in pool.jobs], [seconds for seconds, _ in timer.calls], strict=True))
    assert found == {drain_dead: DRAIN_EVERY, relay_outbox: every, sweep_marks: TIDY_EVERY}
    errands.stop()
    assert timer.calls == []


def test_while_a_job_waits_or_runs_expect_no_second_one(
    policy: Callable[[Reliable], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a pool whose processes are all busy / Expect jobs not to pile up, and one that is lost not to end them."""
    policy(Reliable())
    timer, pool = Timer(), Pool()
    Errands(timer, pool, ["default"])
    drain = timer.calls[0][1]
    for _ in range(3):
        drain()
    assert len(pool.jobs) == 1
    pool.jobs[0][1](None)
    drain()
    assert len(pool.jobs) == 2
    monkeypatch.setattr(reliable_errands, "_LOST", 0)
    drain()
    assert len(pool.jobs) == 3
