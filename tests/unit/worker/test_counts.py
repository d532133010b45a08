"""What jobs tell of consumers and sends, for whoever watches workers: counted in their processes, summed up outside."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from channelcelery.channel import Channel, Group
from channelcelery.core.outcome import Outcome, Times
from channelcelery.core.sends import KINDS, Send
from channelcelery.message import Message
from channelcelery.ordering import enforce_ordering
from channelcelery.routing import route
from tests.unit.worker.jobs import REPLY, job
from tests.unit.worker.pools import FakePool

ROUTED = Callable[..., None]


def sending(message: Message) -> None:
    Channel("elsewhere").send({})
    Channel(REPLY).send({"text": "a"})
    Channel(REPLY).send({"text": "b"})
    Group("all").send({"text": "c"})
    Channel("elsewhere").send({}, delay=1000)


def slow(message: Message) -> None:
    time.sleep(0.05)


def failing(message: Message) -> None:
    raise RuntimeError("on purpose")


@enforce_ordering
def ordered(message: Message) -> None:
    Channel(REPLY).send({"text": "a"})


def test_every_kind_of_send_has_a_name() -> None:
    assert set(KINDS) == set(Send.__args__)  # type: ignore[attr-defined]


def test_given_sends_of_several_kinds_expect_each_counted(routed: ROUTED) -> None:
    routed(sending)
    assert job({}, {}).sent == {"channel": 2, "reply": 4, "group": 2, "delayed": 2}


def test_given_consumers_that_return_and_raise_expect_runs_failures_and_seconds_by_name(routed: ROUTED) -> None:
    routed(route("chat", slow, kind="^slow$"), route("chat", failing, kind="^failing$"))
    times = job({"kind": "slow"}, {"kind": "failing"}, {"kind": "slow"}).times
    assert {name.rpartition(".")[2]: counts[:2] for name, counts in times.items()} == {
        "slow": (2, 0),
        "failing": (1, 1),
    }
    # of each consumer the seconds that it took, and not those of the job
    assert times[f"{__name__}.slow"][2] >= 0.1
    assert 0 < times[f"{__name__}.failing"][2] < 0.1


def test_given_ordered_messages_expect_them_counted_too(routed: ROUTED) -> None:
    routed(ordered)
    outcome = job({"reply_channel": REPLY, "order": 0})
    assert outcome.sent == {"reply": 1}
    assert [counts[:2] for counts in outcome.times.values()] == [(1, 0)]


def test_given_a_message_without_a_consumer_expect_no_name_counted(routed: ROUTED) -> None:
    routed(route("chat", slow, kind="^slow$"))
    assert job({"kind": "other"}).times == {}


def test_given_outcomes_of_jobs_expect_their_sums_in_the_main_process() -> None:
    pool = FakePool()
    pool.receive(b"1")
    pool.receive(b"2")
    first, second = pool.jobs
    one: dict[str, Any] = {"sent": {"reply": 1}, "times": {"a": (1, 0, 0.5)}}
    two: dict[str, Any] = {"sent": {"reply": 2, "group": 1}, "times": {"a": (2, 1, 0.25), "b": (1, 0, 1.0)}}
    for each, counted in ((first, one), (second, two)):
        pool.accept(each)
        pool.handover.finished(each, Outcome(ran=1, seconds=0.1, **counted))
    assert pool.handover.sent == {"reply": 3, "group": 1}
    assert pool.handover.times == {"a": (3, 1, 0.75), "b": (1, 0, 1.0)}


@pytest.mark.parametrize("failed", [False, True])
def test_given_a_run_expect_it_added_to_the_consumer_s(failed: bool) -> None:
    times = Times({"a": (1, 1, 1.0)})
    times.note("a", failed, 0.5)
    assert times == {"a": (2, 1 + failed, 1.5)}
