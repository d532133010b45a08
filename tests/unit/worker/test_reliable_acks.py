"""Acknowledging reliable messages a few at a time: nothing that was not done is settled by what was."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError

from channelcelery.worker.reliable_acks import LATE, MOST, LateAcks
from channelcelery.worker.reliable_task import ReliableRequest


class FakeBroker:
    """An AMQP channel and a loop that write down what they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bool]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0
        self.is_away = False

    def basic_ack(self, tag: int, multiple: bool) -> None:
        self._tell("ack", tag, multiple)

    def basic_reject(self, tag: int, requeue: bool) -> None:
        self._tell("reject", tag, requeue)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        self.timers.append((seconds, call))
        return SimpleNamespace(cancel=self._cancel)

    def _cancel(self) -> None:
        self.cancelled += 1

    def _tell(self, what: str, tag: int, flag: bool) -> None:
        if self.is_away:
            raise RecoverableConnectionError("gone")
        self.told.append((what, tag, flag))


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def acks(broker: FakeBroker) -> LateAcks:
    """Ten deliveries."""
    made = LateAcks(broker, broker)
    for tag in range(1, 11):
        made.delivered(tag)
    return made


def test_given_as_many_as_go_together_expect_one_acknowledgement(broker: FakeBroker, acks: LateAcks) -> None:
    for tag in range(1, MOST + 1):
        assert broker.told == []
        acks.acknowledge(tag, "what Celery", "adds")
    assert broker.told == [("ack", MOST, True)]
    assert broker.cancelled == 1


def test_given_fewer_expect_them_acknowledged_after_a_moment(broker: FakeBroker, acks: LateAcks) -> None:
    """And the moment counted from the first of them, and again from the next."""
    acks.acknowledge(1)
    acks.acknowledge(2)
    ((seconds, call),) = broker.timers
    assert (seconds, broker.told) == (LATE, [])
    call()
    assert broker.told == [("ack", 2, True)]
    acks.acknowledge(3)
    assert len(broker.timers) == 2


def test_given_one_that_still_runs_expect_it_settled_by_no_other(broker: FakeBroker, acks: LateAcks) -> None:
    """Given 2 running / If 1, 3 and 4 are done / Expect each acknowledged by itself."""
    for tag in (1, 3, 4):
        acks.acknowledge(tag)
    assert broker.told == [("ack", 1, False), ("ack", 3, False), ("ack", 4, False)]


def test_given_one_that_is_given_back_expect_it_told_before_what_might_settle_it(
    broker: FakeBroker, acks: LateAcks
) -> None:
    acks.acknowledge(1)
    acks.give_back(2, "what Celery", "adds", True)
    assert broker.told == [("reject", 2, True)]
    acks.acknowledge(3)
    acks.flush()
    assert broker.told[1:] == [("ack", 3, True)]


def test_given_one_that_was_settled_otherwise_expect_the_others_to_go_together(
    broker: FakeBroker, acks: LateAcks
) -> None:
    acks.settled(1)
    acks.acknowledge(2)
    acks.acknowledge(3)
    acks.flush()
    assert broker.told == [("ack", 3, True)]


def test_if_the_worker_takes_nothing_more_expect_all_acknowledged_at_once(broker: FakeBroker, acks: LateAcks) -> None:
    """Since its loop may not turn again."""
    acks.acknowledge(1)
    acks.close()
    acks.acknowledge(2)
    assert broker.told == [("ack", 1, False), ("ack", 2, False)]


def test_if_the_connection_is_gone_expect_no_error(broker: FakeBroker, acks: LateAcks) -> None:
    """And the next connection's own acknowledgements: the broker delivers those again."""
    broker.is_away = True
    acks.give_back(1)
    acks.acknowledge(2)
    acks.close()
    broker.is_away = False
    acks.flush()
    assert broker.told == []


def test_given_a_request_expect_its_message_settled_that_way(
    broker: FakeBroker, acks: LateAcks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else Celery would have it do, and on other brokers what Celery does."""
    monkeypatch.setattr(ReliableRequest, "acks", acks)
    calls: list[str] = []
    celery = {"on_ack": lambda *_: calls.append("ack"), "on_reject": lambda *_: calls.append("reject")}

    def request(tag: int, amqp_channel: object = broker) -> Any:
        message = SimpleNamespace(
            channel=amqp_channel,
            delivery_tag=tag,
            headers={"id": "1", "task": "any"},
            body="",
            payload=((), {}, {}),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_info={},
            properties={},
        )
        return ReliableRequest(message, task=SimpleNamespace(ignore_result=True), **celery)

    for tag in (1, 2, 3):
        request(tag).acknowledge()
    request(4).reject()
    assert broker.told == [("ack", 3, True), ("reject", 4, True)]
    # Celery's own channel, to whose deliveries a project may have sent it, has the same tags
    request(5, FakeBroker()).acknowledge()
    assert (calls, broker.told[2:]) == (["ack"], [])
    monkeypatch.setattr(ReliableRequest, "acks", None)
    request(5).acknowledge()
    request(6).reject()
    assert calls == ["ack", "ack", "reject"]
