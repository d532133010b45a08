"""What is under way on Redis, where acknowledgements wait for the next pop, and that for room."""

from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.broker.pops import Pop
from channelcelery.broker.safe_channel import SafeChannel
from channelcelery.broker.safe_qos import SafeQoS


class FakeChannel:
    """A Kombu channel in a loop, and the record in Redis."""

    sweep_interval = 60.0
    visibility_timeout = 3600
    connection_errors = ()
    closed = False
    do_restore = False
    unacked_restore_limit = None

    def __init__(self) -> None:
        self.popping: Pop | None = None
        self.settled: list[str] = []
        self.ledger = SimpleNamespace(
            lease=15, settle=self.settled.extend, renew=lambda tags: None, release_due=int, sweep=lambda *_: 0
        )

    def is_registered(self, tag: str) -> bool:
        return True

    def settles_soon(self) -> bool:
        return True


@pytest.fixture
def amqp_channel() -> FakeChannel:
    return FakeChannel()


def made(amqp_channel: FakeChannel, least: int) -> Any:
    """Return the record of a channel that may have 4 messages under way, and has."""
    qos: Any = SafeQoS(amqp_channel, prefetch_count=4)
    qos.least = least
    for tag in "abcd":
        qos.append(SimpleNamespace(), tag)
    return qos


def end_turn(amqp_channel: FakeChannel, qos: Any) -> None:
    """End a turn of the loop that began no pop."""
    SafeChannel.end_turn(SimpleNamespace(_qos=qos, _tells=amqp_channel.popping is not None))  # type: ignore[arg-type]


def test_given_room_for_one_expect_it_taken_and_what_made_it_told_at_once(amqp_channel: FakeChannel) -> None:
    qos = made(amqp_channel, least=1)
    qos.ack("a")
    assert qos.can_consume()
    end_turn(amqp_channel, qos)
    assert amqp_channel.settled == ["a"]


def test_given_a_channel_that_takes_two_together_expect_the_first_to_wait_for_the_second(
    amqp_channel: FakeChannel,
) -> None:
    """Expect neither a pop nor an acknowledgement for one alone."""
    qos = made(amqp_channel, least=2)
    qos.ack("a")
    assert not qos.can_consume()
    end_turn(amqp_channel, qos)
    assert amqp_channel.settled == []
    qos.ack("b")
    assert qos.can_consume()
    assert qos.take_pending() == ["a", "b"]


def test_if_the_second_takes_long_expect_the_first_told_by_the_thread_of_leases(amqp_channel: FakeChannel) -> None:
    qos = made(amqp_channel, least=2)
    qos.ack("a")
    qos.tend(0.0)
    assert amqp_channel.settled == ["a"]


def test_while_a_pop_is_under_way_expect_what_it_brings_to_be_read(amqp_channel: FakeChannel) -> None:
    qos = made(amqp_channel, least=2)
    amqp_channel.popping = Pop(["queue"], 1, "", {})
    assert qos.can_consume()


def test_given_no_bound_expect_nothing_to_wait(amqp_channel: FakeChannel) -> None:
    qos: Any = SafeQoS(amqp_channel, prefetch_count=0)
    qos.least = 2
    qos.append(SimpleNamespace(), "a")
    qos.ack("a")
    assert qos.can_consume()
    end_turn(amqp_channel, qos)
    assert amqp_channel.settled == ["a"]


def test_if_fewer_may_be_under_way_than_are_expect_those_told_of_that_are_done(amqp_channel: FakeChannel) -> None:
    qos = made(amqp_channel, least=1)
    qos.prefetch_count = 2
    qos.ack("a")
    assert not qos.can_consume()
    end_turn(amqp_channel, qos)
    assert amqp_channel.settled == ["a"]
