"""What becomes of delayed messages when they are due (Channels 1.x, item 207; defect 8)."""

import time
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from channelcelery.channel import Channel
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.sends import ChannelSend, DelayedSend
from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable, MessageTooLarge
from channelcelery.layers import upkeep
from channelcelery.layers.upkeep import send_due
from tests.fakes import FakeLayer

CONTENT = encode_content({"n": 1}, 100)


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> FakeLayer:
    """A layer on which two messages are due, that for "a" first."""
    monkeypatch.setattr(upkeep.random, "shuffle", lambda groups: None)
    layer = FakeLayer()
    for name in ("a", "b"):
        Channel(name, channel_layer=layer).send({"n": 1}, delay=1)
    time.sleep(0.002)
    return layer


@pytest.fixture
def again(layer: FakeLayer, monkeypatch: pytest.MonkeyPatch) -> list[DelayedSend]:
    """What is to wait once more."""
    waiting: list[DelayedSend] = []
    monkeypatch.setattr(layer.delays, "add", lambda sends: waiting.extend(sends) or True)
    return waiting


def test_given_messages_that_are_due_expect_each_in_its_channel_once(layer: FakeLayer) -> None:
    assert [send_due(layer), send_due(layer)] == [2, 0]
    assert layer.publisher.queues == {"a": [{"n": 1}], "b": [{"n": 1}]}


def test_if_a_channel_is_full_expect_its_messages_again_a_second_later(
    layer: FakeLayer, again: list[DelayedSend]
) -> None:
    """Item 207; and the others now."""
    layer.publisher.full.add("a")
    assert send_due(layer) == 2
    assert layer.publisher.queues == {"b": [{"n": 1}]}
    assert again == [DelayedSend("a", CONTENT, 1_000)]
    assert layer.dropped == {}


@pytest.mark.parametrize(
    ("waits", "sent", "waiting"),
    [(0.1, {"b": [{"n": 1}]}, "a"), (0.6, {}, "ab")],
)
def test_if_the_broker_takes_one_channel_s_not_expect_those_again_and_where_it_is_away_no_other_to_wait_for_it(
    layer: FakeLayer,
    again: list[DelayedSend],
    monkeypatch: pytest.MonkeyPatch,
    waits: float,
    sent: dict[str, Any],
    waiting: str,
) -> None:
    """What was taken is in this process alone, which may end meanwhile: expect it back as soon as it can be."""
    publish, clock, waited = layer.publisher.publish, time.monotonic, [0.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: clock() + waited[0])

    def take_b(channel: str, items: Sequence[bytes]) -> None:
        if channel == "a":
            waited[0] += waits
            raise BrokerUnavailable("on purpose")
        publish(channel, items)

    monkeypatch.setattr(layer.publisher, "publish", take_b)
    with pytest.raises(BrokerUnavailable):
        send_due(layer)
    assert layer.publisher.queues == sent
    assert again == [DelayedSend(channel, CONTENT, 1_000) for channel in waiting]


def test_if_the_broker_goes_away_among_reliable_messages_expect_those_again_that_it_did_not_take(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends them together cannot tell which left."""
    for number in (2, 3):
        Channel("b", channel_layer=layer).send({"n": number}, delay=1)
    time.sleep(0.002)
    flush, taken = layer.flush_sends, []
    again: list[DelayedSend] = []
    monkeypatch.setattr(layer.delays, "add", lambda sends: again.extend(sends) or True)

    def take_two(sends: Sequence[Any]) -> tuple[str, ...]:
        if len(taken) == 2:
            raise BrokerUnavailable("on purpose")
        taken.extend(sends)
        return flush(sends)

    monkeypatch.setattr(layer, "flush_sends", take_two)
    monkeypatch.setattr(layer, "is_reliable", lambda channel: channel == "b")
    monkeypatch.setattr(layer, "prepare", lambda channel, content: ChannelSend(channel, encode_item(CONTENT, 0, "")))
    with pytest.raises(BrokerUnavailable):
        send_due(layer)
    assert [send.channel for send in taken] == ["a", "b"]
    assert [send.channel for send in again] == ["b", "b"]


@pytest.mark.parametrize("away", [False, True])
def test_if_there_is_no_room_to_wait_any_more_expect_them_counted_and_logged(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, away: bool
) -> None:
    def add(sends: Any) -> bool:
        if away:
            raise LayerUnavailable("on purpose")
        return False

    monkeypatch.setattr(layer.delays, "add", add)
    layer.publisher.full.add("a")
    assert send_due(layer) == 2
    assert layer.dropped == {"delayed_lost": 1}
    assert "1 delayed messages are lost: " in caplog.text


def test_if_the_process_ends_in_the_middle_expect_none_sent_twice(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 8: 1.1.8 deleted a message after it had been sent."""
    publish = layer.publisher.publish

    def publish_and_die(channel: str, items: Sequence[bytes]) -> NoReturn:
        publish(channel, items)
        raise SystemExit

    monkeypatch.setattr(layer.publisher, "publish", publish_and_die)
    with pytest.raises(SystemExit):
        send_due(layer)
    monkeypatch.setattr(layer.publisher, "publish", publish)
    assert send_due(layer) == 0
    assert layer.publisher.queues == {"a": [{"n": 1}]}


def test_if_a_message_can_no_longer_be_sent_expect_it_counted_and_the_others_sent(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one above a limit that was lowered meanwhile: it would come back for ever."""
    prepare = layer.prepare

    def refuse_a(channel: str, content: object) -> Any:
        if channel == "a":
            raise MessageTooLarge(2, 1)
        return prepare(channel, content)

    monkeypatch.setattr(layer, "prepare", refuse_a)
    assert send_due(layer) == 2
    assert layer.publisher.queues == {"b": [{"n": 1}]}
    assert layer.dropped == {"delayed_lost": 1}
    assert "a delayed message for a cannot be sent and is dropped" in caplog.text


def test_if_a_client_library_raises_what_nobody_knows_expect_all_that_was_taken_again(
    layer: FakeLayer, again: list[DelayedSend], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(channel: str, items: Sequence[bytes]) -> NoReturn:
        raise KeyError(channel)

    monkeypatch.setattr(layer.publisher, "publish", fail)
    with pytest.raises(KeyError):
        send_due(layer)
    assert [send.channel for send in again] == ["a", "b"]
