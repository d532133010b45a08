"""What `channelstatus` finds and shows: of each process its own numbers, and of what is away a sentence."""

import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from django.core.management import call_command

from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.layers.base import NodeStatus
from channelcelery.management.commands import channelstatus
from channelcelery.observe import status as module
from channelcelery.observe.status import Interface, Queue, Status, Worker, look
from tests.fakes import FakeLayer

FOUND = Status(
    (Interface("default", "b", True, 12, 3, 4, 0.25), Interface("default", "a", False, 1, 2, 3, 0.0)),
    (Queue("default", "orders", 7, 100), Queue("default", "work", 5, 10)),
    (Worker("celery@here", "prefork", 8, 6, 100, 2, 1),),
    ("workers: away",),
)
STATS = {
    "celery@b": {
        "channels": {"counts": {"ran": 9, "failed": 2, "forwarded": 5, "expired": 3, "bad": 1}, "names": ["a", "b"]},
        "pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 4},
    },
    "celery@a": {"channels": {"counts": {}, "names": []}},
    "celery@other": {"pool": {"implementation": "celery.concurrency.solo:TaskPool"}},
}


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> FakeLayer:
    """The one layer, of two interface processes and a queue."""
    layer = FakeLayer()
    monkeypatch.setattr(channel_layers, "_made", {"default": layer})
    found = [
        NodeStatus("b", True, connections=12, groups=3, entries=4, bytes=400, lag=0.25),
        NodeStatus("a", False, connections=1, groups=2, entries=3, bytes=300, lag=0.5),
    ]
    monkeypatch.setattr(layer, "replies", SimpleNamespace(status=lambda: found))
    return layer


class Broker:
    """An app whose broker answers, and whose workers answer as a test says."""

    def __init__(self, stats: Any) -> None:
        self.stats = stats
        self.patience: list[float] = []
        self.control = self

    def connection_for_read(self, **options: Any) -> Any:
        return nullcontext(SimpleNamespace(recoverable_connection_errors=(ConnectionError,)))

    def inspect(self, timeout: float) -> Any:
        self.patience.append(timeout)
        return SimpleNamespace(stats=self._stats)

    def _stats(self) -> Any:
        if isinstance(self.stats, Exception):
            raise self.stats
        return self.stats


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker(STATS)
    monkeypatch.setattr(module, "broker_app", lambda: broker)
    monkeypatch.setattr(module, "_broker_problem", lambda: None)
    monkeypatch.setattr(module, "router_of", lambda alias: SimpleNamespace(channels={"work", "chat"}))
    return broker


def test_given_processes_expect_of_each_its_own_numbers(layer: FakeLayer, broker: Broker) -> None:
    """Workers of other projects that share the broker are left out."""
    layer.send("work", {})
    assert look(0.3) == Status(
        (Interface("default", "a", False, 1, 2, 3, 0.5), Interface("default", "b", True, 12, 3, 4, 0.25)),
        (Queue("default", "chat", 0, 10_000), Queue("default", "work", 1, 10_000)),
        # neither what ran nor what went to another worker is lost
        (Worker("celery@a", "", 1, 0, 0, 0, 0), Worker("celery@b", "prefork", 4, 2, 9, 2, 4)),
        (),
    )
    assert broker.patience == [0.3]


def test_given_what_is_away_expect_a_sentence_for_each_and_the_rest(
    layer: FakeLayer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(error: Exception) -> Any:
        def fail(*arguments: Any) -> NoReturn:
            asked.append(type(error).__name__)
            raise error

        return fail

    monkeypatch.setattr(layer, "replies", SimpleNamespace(status=away(LayerUnavailable("no Redis"))))
    monkeypatch.setattr(layer, "publisher", SimpleNamespace(depth=away(BrokerUnavailable("no broker"))))
    broker.stats = ConnectionError("secret")
    found = look()
    assert (found.nodes, found.queues, found.workers) == ((), (), ())
    nodes, queues, workers = found.problems
    assert nodes.startswith("interface processes of default: ")
    assert "no Redis" in nodes
    assert queues.startswith("queues of default: ")
    assert workers == "workers: the broker cannot be reached: ConnectionError"
    # the second queue would take as long to find out
    assert asked == ["LayerUnavailable", "BrokerUnavailable"]


def test_given_no_broker_expect_neither_queues_nor_workers_asked(
    layer: FakeLayer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_broker_problem", lambda: "OperationalError")
    found = look()
    assert len(found.nodes) == 2
    assert found.problems == ("queues and workers: the broker cannot be reached: OperationalError",)
    assert broker.patience == []


def show(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[list[str], str, list[float]]:
    """Run the command and return the lines that it printed, its complaints, and the patience of each look."""
    asked: list[float] = []
    monkeypatch.setattr(channelstatus, "look", lambda patience: asked.append(patience) or FOUND)
    out, err = io.StringIO(), io.StringIO()
    call_command("channelstatus", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue().splitlines(), err.getvalue(), asked


def test_given_text_expect_tables_whose_columns_stand_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, complaints, asked = show(monkeypatch)
    assert lines == [
        "2 interface processes, 13 connections",
        "  layer    node  alive  connections  groups  inbox  lag",
        "  default  b     yes    12           3       4      0.2 s",
        "  default  a     NO     1            2       3      0.0 s",
        "2 channels, 12 messages of the broker wait",
        "  layer    channel  depth  capacity",
        "  default  orders   7      100",
        "  default  work     5      10",
        "1 workers",
        "  worker       pool     slots  channels  ran  failed  dropped",
        "  celery@here  prefork  8      6         100  2       1",
    ]
    assert complaints == "workers: away\n"
    assert asked == [1.0]


def test_given_patience_expect_workers_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(monkeypatch, "--json", "--patience", "0.2")[2] == [0.2]
