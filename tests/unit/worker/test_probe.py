"""Whether a worker lives, by the turns of its event loop, and what it counts."""

from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.core.backlog import Key
from channelcelery.exceptions import BrokerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.worker import probe as module
from channelcelery.worker.probe import WorkerProbe
from channelcelery.worker.reliable_counts import ReliableCounts
from tests.unit.worker.pools import FakePool


def probe_of(**values: Any) -> WorkerProbe:
    step: Any = SimpleNamespace(
        **{"handover": FakePool().handover, "queues": {}, "is_reading": True, "slots": 2} | values
    )
    return WorkerProbe(step, ReliableCounts({"orders"}))


def test_given_no_turn_for_long_expect_it_not_live_unless_none_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    probe = probe_of()
    assert probe.live() == ""  # not started
    probe.turned()
    now[0] += module.TURN
    assert probe.live() == ""
    now[0] += 1
    assert probe.live() == "the event loop took no turn in 30 s"
    probe.rests()
    assert probe.live() == ""


def test_given_counts_expect_losses_by_reason_and_the_rest_by_name() -> None:
    probe = probe_of()
    probe._step.handover.counts.update(ran=5, failed=2, expired=1, forwarded=3)
    values = probe.values()
    assert (values["run"], values["failed"], values["dropped"]) == (5, 2, {"expired": 1})


def test_given_messages_of_channels_that_are_unknown_expect_one_name_for_all() -> None:
    counts = ReliableCounts({"orders"})
    counts.note("orders", "settled", 0.5)
    for name in ("made up", "made up too", None, 5):
        counts.note(name, "again", -1.0)
    assert counts.runs == {("orders", "settled"): 1, ("unknown", "again"): 4}
    assert counts.seconds == {"orders": 0.5, "unknown": 0.0}


def test_given_a_worker_that_does_not_read_expect_it_not_ready_and_no_queue_asked() -> None:
    probe = probe_of(is_reading=False, queues={"cc:chat": ("default", "chat")})
    assert probe.ready() == "the broker is not reached, or this worker ends"
    values = probe.values()
    assert values["ready"] == 0
    assert "queue_depth" not in values
    assert probe_of().ready() == ""


def test_given_jobs_and_runs_expect_each_metric_its_own() -> None:
    pool = FakePool(slots=1)
    for number in range(3):
        pool.receive(b"%d" % number)
    handover = pool.handover
    assert handover.waiting != handover.under_way
    handover.sent.update(reply=4)
    handover.times.update(say=(3, 1, 0.5))
    probe = probe_of(handover=handover, slots=7)
    probe._reliable.note("orders", "again", 0.25)
    values = probe.values()
    handover.sent["reply"] += 1
    probe._reliable.note("orders", "again", 0.25)
    assert values == {
        "ready": 1.0,
        "dropped": {},
        "run": 0,
        "failed": 0,
        "sent": {"reply": 4},
        "consumer_seconds": {"say": (3, 0.5)},
        "consumer_failed": {"say": 1},
        "reliable_run": {("orders", "again"): 1},
        "reliable_seconds": {"orders": 0.25},
        "worker_waiting": handover.waiting,
        "worker_jobs": handover.under_way,
        "worker_slots": 7,
        "queue_depth": {},
    }


class Depths:
    """One half of a layer; what is away raises."""

    def __init__(self, **depths: int) -> None:
        self._depths = depths
        self.asked: list[str] = []

    def depth(self, channel: str) -> int:
        self.asked.append(channel)
        if channel not in self._depths:
            raise BrokerUnavailable("it is away")
        return self._depths[channel]


def test_given_plain_and_reliable_channels_expect_each_asked_where_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And if the broker goes away, none after the first that does not answer."""
    plain, reliable = Depths(chat=5, work=6, orders=0), Depths(orders=7)
    layer = SimpleNamespace(publisher=plain, reliable=reliable)
    monkeypatch.setattr(channel_layers, "_made", {"default": layer})
    queues: dict[str, Key] = {f"cc:{name}": ("default", name) for name in ("chat", "work")}
    probe = probe_of(queues=queues)
    probe._reliable_queues = [("default", "orders")]
    assert probe.values()["queue_depth"] == {("default", "chat"): 5, ("default", "work"): 6, ("default", "orders"): 7}
    layer.publisher = Depths(chat=5)
    assert probe.values()["queue_depth"] == {("default", "chat"): 5}
    assert layer.publisher.asked == ["chat", "work"]
    assert reliable.asked == ["orders"]
