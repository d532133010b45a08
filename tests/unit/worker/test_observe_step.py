"""The step that lets operators ask a worker: where it listens, and when turns of the event loop are due."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from click import ClickException

from channelcelery.observe.endpoint import VARIABLE, Address
from channelcelery.worker import observe_step as module
from channelcelery.worker.bootstep import ChannelsStep
from channelcelery.worker.observe_step import ObserveStep
from channelcelery.worker.probe import WorkerProbe


class FakeTimer:
    """Keeps what is to be called, until that is cancelled."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Any]] = []

    def call_repeatedly(self, seconds: float, call: Any) -> Any:
        self.calls.append((seconds, call))
        return SimpleNamespace(cancel=self.calls.clear)


class Worker:
    """A worker with the step, as far as the step sees it."""

    def __init__(self, metrics: str = "", pool: type = Prefork, hub: object = True, **options: Any) -> None:
        self.pool, self.hub, self.timer = pool.__new__(pool), hub, FakeTimer()
        self.blueprint = {ChannelsStep.name: SimpleNamespace(is_reading=True)}
        self.step = ObserveStep(self, metrics=metrics, **options)
        self.step.create(self)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Address, WorkerProbe]]:
    """Where steps listen, and for which probe; nothing does."""
    made: list[tuple[Address, WorkerProbe]] = []

    def endpoint(address: Address, probe: WorkerProbe) -> Any:
        if address.port == 1:
            raise OSError(13, f"metrics cannot be had at {address}")
        made.append((address, probe))
        return SimpleNamespace(address=address)

    monkeypatch.setattr(module, "Endpoint", endpoint)
    monkeypatch.setattr(module, "reliable_channels", lambda *globs: [("default", "orders")])
    monkeypatch.setattr(module.reliable_counts, "channels", frozenset())
    monkeypatch.delenv(VARIABLE, raising=False)
    return made


def test_given_an_address_expect_it_listened_at_and_its_reliable_channels_known_by_name(listening: list[Any]) -> None:
    Worker("0.0.0.0:9464")
    [(address, probe)] = listening
    assert address == Address("0.0.0.0", 9464)
    assert module.reliable_counts.channels == {"orders"}
    assert list(probe._reliable_queues) == [("default", "orders")]
    assert probe.ready() == ""


def test_given_an_address_in_the_environment_expect_it_unless_an_option_says_otherwise_or_it_is_embedded(
    listening: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker()
    assert listening == []
    monkeypatch.setenv(VARIABLE, "2000")
    Worker()
    Worker("3000")
    Worker(channels_embedded=True)
    assert [address.port for address, _ in listening] == [2000, 3000]


@pytest.mark.parametrize("text", ["x", "1"])
def test_given_an_address_that_cannot_be_had_expect_the_worker_to_say_so(listening: list[Any], text: str) -> None:
    with pytest.raises(ClickException, match="metrics"):
        Worker(text)


def test_expect_turns_to_be_due_while_it_reads_and_none_while_it_looks_for_its_broker(
    listening: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("channelcelery.worker.probe.time.monotonic", lambda: now[0])
    worker = Worker("9464")
    [(_, probe)] = listening
    for _ in range(2):
        worker.step.start(worker)
        [(seconds, turn)] = worker.timer.calls
        assert seconds == 1.0
        turn()
        now[0] += 31
        assert probe.live() != ""
        worker.step.stop(worker)
        assert worker.timer.calls == []
        assert probe.live() == ""


@pytest.mark.parametrize("worker", [{"pool": Solo}, {"hub": None}])
def test_given_a_loop_that_runs_consumers_or_none_expect_no_turns_to_be_due(
    listening: list[Any], worker: dict[str, Any]
) -> None:
    made = Worker("9464", **worker)
    made.step.start(made)
    assert made.timer.calls == []
    made.step.stop(made)


def test_given_no_address_expect_nothing_watched(listening: list[Any]) -> None:
    worker = Worker()
    worker.step.start(worker)
    assert worker.timer.calls == []
    worker.step.stop(worker)
