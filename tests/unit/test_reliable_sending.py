"""Sending to a reliable channel: through `Channel.send` as to any other, with an id as the answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from channelcelery.broker.confirmed import ConfirmedPublisher
from channelcelery.broker.connection import broker_app
from channelcelery.broker.reliable_queues import reliable_queue_name
from channelcelery.channel import Channel, collect_sends
from channelcelery.conf import layer_config
from channelcelery.core.envelope import encode_content
from channelcelery.core.reliable import Again, Reliable
from channelcelery.core.sends import ReliableSend
from channelcelery.exceptions import BrokerUnavailable, ChannelFull
from channelcelery.message import Message
from channelcelery.reliable.parcel import TASK, Parcel
from channelcelery.reliable.sending import ReliableSender, wait_before
from channelcelery.routing import Router, replace_router, route
from tests.fakes import FakeLayer
from tests.processes import wait_until
from tests.unit.worker.test_forward import Recorder


def consume(message: Message) -> None: ...


@pytest.fixture(autouse=True)
def reliable_orders() -> Iterator[None]:
    routing = [route("orders", consume, reliable=True), route("other", consume)]
    former = replace_router("default", Router(routing))
    yield
    replace_router("default", former)


def made(error: Exception | None = None) -> tuple[FakeLayer, Recorder]:
    layer, recorder = FakeLayer(), Recorder(error)
    layer.make_reliable = lambda config: recorder
    return layer, recorder


def test_given_a_reliable_channel_expect_the_id_that_the_message_has() -> None:
    layer, recorder = made()
    found = Channel("orders", channel_layer=layer).send({"n": 1})
    assert recorder.sent == [ReliableSend("orders", str(found), encode_content({"n": 1}, 100))]
    assert layer.publisher.queues == {}


def test_given_a_glob_in_config_expect_the_channels_that_match_reliable_but_no_socket() -> None:
    """As in a project that has not the routing."""
    layer, recorder = FakeLayer(reliable_channels=["web*", "else.*"]), Recorder()
    layer.make_reliable = lambda config: recorder
    assert Channel("else.where", channel_layer=layer).send({})
    assert Channel("website", channel_layer=layer).send({})
    assert Channel("websocket.receive", channel_layer=layer).send({}) is None
    assert [send.channel for send in recorder.sent] == ["else.where", "website"]


def test_given_a_delay_expect_it_handed_over() -> None:
    layer, recorder = made()
    Channel("orders", channel_layer=layer).send({}, delay=1500)
    assert [send.delay for send in recorder.sent] == [1500]


class TestCapacity:
    """Given a full channel: what is new is refused, what was taken once goes on."""

    @pytest.fixture
    def publisher(self) -> Iterator[ConfirmedPublisher]:
        entry = {"BACKEND": "channelcelery.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 2, "prefix": "full:"}}
        options = {"polling_interval": 0.01}
        config = layer_config("default", entry)
        found = ConfirmedPublisher(config, lambda: Connection("memory://", transport_options=options))
        for number in range(2):
            found.publish("orders", TASK, self.message(number))
        with pytest.raises(ChannelFull):
            found.publish("orders", TASK, self.message(2))
        yield found
        found.close()
        with Connection("memory://") as connection:
            connection.channel().queue_purge(reliable_queue_name("full:", "orders"))

    def message(self, number: int) -> Any:
        return broker_app().amqp.as_task_v2(f"id-{number}", TASK, [number])

    def test_expect_a_copy_to_be_taken(self, publisher: ConfirmedPublisher) -> None:
        publisher.publish("orders", TASK, self.message(3), force=True)
        assert publisher.depth("orders") == 3

    def test_expect_what_was_delayed_in_memory_to_be_taken_when_it_is_due(self, publisher: ConfirmedPublisher) -> None:
        publisher.publish("orders", TASK, self.message(3), delay=0.01)
        wait_until(lambda: publisher.depth("orders") == 3, what="the delayed message")

    def test_expect_copies_of_the_sender_to_say_that_they_are_some(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a message whose run is to be repeated, expect that capacity counts for the first send alone."""
        forced: list[bool] = []

        def publish(publisher: Any, *args: Any, force: bool = False, **options: Any) -> None:
            forced.append(force)

        monkeypatch.setattr(ConfirmedPublisher, "publish", publish)
        sender = ReliableSender(layer_config("default", {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"}))
        sender.send(ReliableSend("orders", "an-id", b"\x80"))
        sender.send_again(Parcel("an-id", "default", "orders", b"\x80"))
        assert forced == [False, True]


def test_given_another_channel_expect_no_id() -> None:
    layer, recorder = made()
    assert Channel("other", channel_layer=layer).send({}) is None
    assert recorder.sent == []


def test_inside_a_consumer_expect_the_id_at_once_and_the_message_later() -> None:
    layer, recorder = made()
    with collect_sends() as collected:
        found = Channel("orders", channel_layer=layer).send({})
        assert recorder.sent == []
    assert [send.id for _, send in collected.sends if isinstance(send, ReliableSend)] == [found]


@pytest.mark.parametrize("error", [BrokerUnavailable("no"), ChannelFull(["orders"])])
def test_if_the_broker_does_not_keep_it_expect_an_error(error: Exception) -> None:
    layer, _ = made(error)
    with pytest.raises(type(error)):
        Channel("orders", channel_layer=layer).send({})


class TestWaiting:
    POLICY = Reliable(backoff=2, max_backoff=10)

    @pytest.mark.parametrize(("attempt", "most"), [(2, 2), (3, 4), (4, 8), (5, 10), (10**6, 10)])
    def test_given_an_attempt_expect_a_random_part_of_a_backoff_that_doubles(self, attempt: int, most: float) -> None:
        found = [wait_before(self.POLICY, Again(attempt)) for _ in range(200)]
        assert 0 <= min(found) < most * 0.2
        assert most * 0.8 < max(found) <= most

    def test_if_the_consumer_named_a_time_expect_that(self) -> None:
        assert wait_before(self.POLICY, Again(2, 77.5)) == 77.5
