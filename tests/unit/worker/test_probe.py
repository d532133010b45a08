"""Whether a worker lives, by the turns of its event loop, and what it counts."""

from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.worker import probe as module
from channelcelery.worker.probe import WorkerProbe
from channelcelery.worker.reliable_counts import ReliableCounts
from tests.unit.worker.pools import FakePool


def probe_of(**values: Any) -> WorkerProbe:
    step: Any = SimpleNamespace(handover=FakePool().handover, queues={}, is_reading=True, slots=2, **values)
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
