"""How a worker reads its queues: over memory://, Redis and RabbitMQ, whatever lies in them."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgpack
import pytest
import redis
from kombu import Connection

from channelcelery.broker.publisher import CONTENT_TYPE, queue_name
from channelcelery.broker.safe_app import SafeConnection
from channelcelery.broker.safe_channel import SafeChannel
from channelcelery.core.backlog import Delivery, Key
from channelcelery.core.envelope import decode_content, decode_item, encode_batch
from channelcelery.worker import amqp_source
from channelcelery.worker.amqp_source import BUDGET, MOST
from channelcelery.worker.sources import make_source
from channelcelery.worker.virtual_source import AT_ONCE
from tests.contract.brokers import Broker, item, items
from tests.processes import wait_until
from tests.servers import RedisServer

on_every_broker = pytest.mark.parametrize("broker", ["memory", "redis", "amqp"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker", ["amqp"], indirect=True)


@dataclass
class Reader:
    """A source on a connection of its own, and what it handed on.

    Args:
        broker: where it reads.
        room: messages of the broker that it may hold at most.
        share: how much of what one of them carries it may hold.
        seen: ids that an earlier reader acknowledged.
        safe: it uses the safe transport, as workers do.
    """

    broker: Broker
    room: int = 1_000_000
    share: int = 1_000_000
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)
    safe: bool = False
    received: list[tuple[Key, list[int], Delivery]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.connection: Connection = SafeConnection(self.broker.url) if self.safe else self.broker.connection()
        amqp_channel = self.connection.channel()
        self.source = make_source(
            amqp_channel, self._receive, self._drop, self._has_room, lambda key: self.share, self.seen, eager=True
        )

    def _receive(self, key: Key, found: tuple[bytes, ...], delivery: Delivery) -> None:
        self.received.append((key, [decode_item(each).content["n"] for each in found], delivery))

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    def _has_room(self) -> bool:
        return len(self.received) < self.room

    def consume(self, *channels: str) -> None:
        """Start reading some channels of the alias "default"."""
        self.source.consume({queue_name(self.broker.prefix, name): ("default", name) for name in channels})

    def read(self, enough: Callable[[], bool]) -> None:
        """Read until a condition holds."""

        def drained() -> bool:
            self.drain()
            return enough()

        wait_until(drained, what=f"more to be read than {self.received}, {self.dropped}")

    def drain(self) -> None:
        """Read what is there."""
        try:
            while True:
                self.connection.drain_events(timeout=0.05)
        except TimeoutError:
            return

    def numbers(self, channel: str = "a") -> list[int]:
        """Return the numbers of a channel's messages, in order."""
        return [number for key, numbers, _ in self.received if key == ("default", channel) for number in numbers]

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries in order."""
        return [delivery for _, _, delivery in self.received]

    def close(self) -> None:
        """Stop reading and end the connection."""
        self.source.close()
        self.connection.release()


@pytest.fixture
def reader(broker: Broker) -> Iterator[Callable[..., Reader]]:
    """Make a reader of the broker, which is closed at the end."""
    made: list[Reader] = []

    def make(**options: Any) -> Reader:
        made.append(Reader(**{"broker": broker} | options))
        return made[-1]

    yield make
    for each in made:
        each.connection.release()


@on_every_broker
class TestReading:
    def test_given_messages_of_two_channels_expect_each_in_order_with_its_key(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        publisher, reading = broker.publisher(), reader()
        publisher.publish("a", items(range(100)))
        reading.consume("a", "b")
        for number in range(10):
            publisher.publish("b", [item(number)])
        reading.read(lambda: len(reading.received) == 12)
        assert reading.numbers("a") == list(range(100))
        assert reading.numbers("b") == list(range(10))
        # what the broker keeps no record of is the worker's from the start
        assert {delivery.owned for delivery in reading.deliveries()} == {not broker.url.startswith("amqp")}

    def test_given_garbage_expect_it_counted_logged_and_gone_and_the_rest_read(
        self, broker: Broker, reader: Callable[..., Reader], caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher = broker.publisher()
        publisher.publish("a", [item(1)])
        with broker.connection() as connection:
            publish = partial(connection.Producer().publish, exchange="", routing_key=f"{broker.prefix}a")
            for body in (b"", b"\xff\x00garbage", b"\x93\x01\x02\x03", encode_batch("b", [item(7)])):
                publish(body, content_type="application/x-anything", content_encoding="binary")
            publish({"a": 1}, serializer="json")
            publish(b"text", content_type="text/plain", content_encoding="no-such-encoding")
            compressed = {"compression": "application/x-bz2"}
            publish(b"x", content_type="text/plain", content_encoding="binary", headers=compressed)
        publisher.publish("a", [item(2)])
        reading = reader()
        reading.consume("a")
        reading.read(lambda: reading.numbers() == [1, 2] and reading.dropped["unreadable"] == 7)
        assert caplog.text.count("cannot be read and is dropped") == 7
        reading.source.acknowledge(reading.deliveries())
        reading.close()
        assert broker.batches("a", 0) == []

    def test_if_it_is_stopped_then_it_takes_nothing_more(self, broker: Broker, reader: Callable[..., Reader]) -> None:
        publisher, reading = broker.publisher(), reader()
        reading.consume("a")
        publisher.publish("a", [item(1)])
        reading.read(lambda: reading.numbers() == [1])
        reading.source.acknowledge(reading.deliveries())
        reading.source.close()
        publisher.publish("a", [item(2)])
        broker.wait_for_depth(publisher, "a", 1)
        reading.drain()
        assert reading.numbers() == [1]
        assert broker.numbers("a", 1) == [2]


@pytest.mark.parametrize("broker", ["memory", "redis"], indirect=True)
class TestRoom:
    def test_expect_no_message_taken_for_which_there_is_none(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        publisher, reading = broker.publisher(), reader(room=3)
        for number in range(10):
            publisher.publish("a", [item(number)])
        reading.consume("a")
        reading.read(lambda: len(reading.received) >= 3)
        reading.drain()
        assert reading.numbers() == [0, 1, 2]
        assert publisher.depth("a") == 7
        reading.room = 8
        reading.read(lambda: len(reading.received) >= 8)
        reading.drain()
        assert reading.numbers() == list(range(8))
        assert publisher.depth("a") == 2


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
def test_if_room_goes_while_a_pop_waits_expect_what_it_brings_read_and_no_more_taken(
    broker: Broker, reader: Callable[..., Reader]
) -> None:
    publisher, reading = broker.publisher(), reader(room=1, safe=True)
    reading.consume("a")
    amqp_channel = reading.source._amqp_channel  # type: ignore[attr-defined]
    reading.read(lambda: amqp_channel.popping is not None and amqp_channel.popping.waits)
    reading.room = 0
    publisher.publish("a", [item(1)])
    reading.read(lambda: bool(reading.received))
    publisher.publish("a", [item(2)])
    reading.drain()
    assert reading.numbers() == [1]
    assert publisher.depth("a") == 1


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
class TestShare:
    """A message of the broker that carries more than the pool soon runs."""

    def test_expect_the_rest_in_front_of_its_queue_again_for_another_worker_or_for_later(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        publisher, reading = broker.publisher(), reader(share=10, room=2, safe=True)
        publisher.publish("a", items(range(50)))
        publisher.publish("a", [item(50)])
        publisher.publish("b", [item(0)])
        reading.consume("a", "b")
        reading.read(lambda: len(reading.received) == 2)
        reading.source.close()
        assert (reading.numbers("a"), reading.numbers("b")) == (list(range(10)), [0])
        assert broker.numbers("a", 41) == list(range(10, 51))

    @pytest.mark.parametrize(
        ("share", "each", "taken"),
        [(63, 1, 1), (64 * 4, 1, AT_ONCE), (64 * 4, 64, 4), (64, 64, 1)],
        ids=["it may be given back", "fast and single", "fast in batches", "slower in batches"],
    )
    def test_given_a_backlog_expect_no_more_taken_at_once_than_the_pool_soon_runs(
        self, broker: Broker, reader: Callable[..., Reader], share: int, each: int, taken: int
    ) -> None:
        """What one step takes is not asked for again, and what could be given back must come alone."""
        publisher, reading = broker.publisher(), reader(share=share, room=1, safe=True)
        reading.consume("a")
        publisher.publish("a", items(range(each)))
        reading.read(lambda: len(reading.received) == 1)
        for number in range(2 * AT_ONCE):
            publisher.publish("a", items(range(number, number + each)))
        reading.room = 2
        reading.read(lambda: len(reading.received) >= 1 + taken)
        reading.drain()
        assert len(reading.received) == 1 + taken

    def test_given_single_messages_and_then_batches_expect_few_of_these_taken_at_once(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        """What they carry shows in their size only, before they are taken."""
        publisher, reading = broker.publisher(), reader(share=64 * AT_ONCE, room=1, safe=True)
        reading.consume("a")
        publisher.publish("a", [item(0)])
        reading.read(lambda: len(reading.received) == 1)
        for _ in range(AT_ONCE):
            publisher.publish("a", items(range(64)))
        reading.room = 2
        reading.read(lambda: len(reading.received) >= 2)
        reading.drain()
        assert 1 < len(reading.received) <= 9
        reading.room = AT_ONCE + 1
        reading.read(lambda: len(reading.received) == AT_ONCE + 1)
        assert reading.numbers() == [0, *list(range(64)) * AT_ONCE]

    def test_given_what_a_later_version_wrote_beside_them_expect_it_kept(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        body = msgpack.packb({"v": 2, "c": "a", "m": items(range(3)), "later": 1})
        with broker.connection() as connection:
            connection.Producer().publish(
                body, exchange="", routing_key=f"{broker.prefix}a", content_type=CONTENT_TYPE, content_encoding="binary"
            )
        reading = reader(share=1, room=1, safe=True)
        reading.consume("a")
        reading.read(lambda: reading.numbers() == [0])
        reading.source.close()
        with broker.connection() as connection, connection.channel() as amqp_channel:
            left = amqp_channel.basic_get(f"{broker.prefix}a", no_ack=True)
        assert decode_content(left.body) == {"v": 2, "c": "a", "m": items(range(1, 3)), "later": 1}

    def test_if_redis_has_no_memory_left_expect_all_to_stay(
        self, new_redis: Callable[..., RedisServer], reader: Callable[..., Reader]
    ) -> None:
        broker = Broker(new_redis().url)
        broker.publisher().publish("a", items(range(10)))
        reading = reader(broker=broker, share=4, room=0, safe=True)
        reading.consume("a")
        with redis.Redis.from_url(broker.url) as client:
            client.config_set("maxmemory", 1)
        reading.room = 1
        reading.read(lambda: reading.numbers() == list(range(10)))
        broker.close()

    def test_if_redis_does_not_answer_expect_the_rest_counted_as_lost_and_not_run_here(
        self, broker: Broker, reader: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def put_first(self: SafeChannel, queue: str, message: dict[str, Any]) -> None:
            raise redis.TimeoutError("no answer")

        monkeypatch.setattr(SafeChannel, "put_first", put_first)
        broker.publisher().publish("a", items(range(10)))
        reading = reader(share=4, room=1, safe=True)
        reading.consume("a")
        reading.read(lambda: reading.numbers() == list(range(4)))
        assert reading.dropped == {"broker_unanswered": 6}

    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_if_redis_ends_before_the_rest_is_back_expect_all_to_stay(
        self,
        new_redis: Callable[..., RedisServer],
        reader: Callable[..., Reader],
        monkeypatch: pytest.MonkeyPatch,
        end: str,
    ) -> None:
        server, put_first = new_redis(), SafeChannel.put_first

        def end_and_put_first(self: SafeChannel, queue: str, message: dict[str, Any]) -> None:
            getattr(server, end)()
            put_first(self, queue, message)

        monkeypatch.setattr(SafeChannel, "put_first", end_and_put_first)
        broker = Broker(server.url)
        broker.publisher().publish("a", items(range(10)))
        reading = reader(broker=broker, share=4, room=1, safe=True)
        reading.consume("a")
        reading.read(lambda: bool(reading.received))
        assert reading.numbers() == list(range(10))
        assert not reading.dropped
        broker.close()


@on_rabbitmq
class TestAcknowledging:
    @pytest.mark.parametrize(("channels", "share"), [("a", MOST), ("abcde", BUDGET // 5)])
    def test_given_full_queues_expect_each_to_send_its_share_until_some_are_acknowledged(
        self, broker: Broker, reader: Callable[..., Reader], channels: str, share: int
    ) -> None:
        publisher, reading, all_of_them = broker.publisher(), reader(), len(channels) * share
        for channel in channels:
            for number in range(MOST + 5):
                publisher.publish(channel, [item(number)])
        reading.consume(*channels)
        reading.read(lambda: len(reading.received) >= all_of_them)
        reading.drain()
        for channel in channels:
            assert reading.numbers(channel) == list(range(share))
        reading.source.acknowledge(reading.deliveries()[:5])
        reading.read(lambda: len(reading.received) >= all_of_them + 5)
        reading.drain()
        assert len(reading.received) == all_of_them + 5

    def test_if_it_ends_then_what_was_not_acknowledged_is_back_in_order(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        publisher, reading = broker.publisher(), reader()
        for number in range(6):
            publisher.publish("a", [item(number)])
        reading.consume("a")
        reading.read(lambda: len(reading.received) == 6)
        reading.source.acknowledge([reading.deliveries()[at] for at in (0, 1, 4)])
        reading.source.close()
        assert broker.numbers("a", 3) == [2, 3, 5]

    def test_given_an_acknowledgement_that_was_lost_expect_the_message_not_read_again(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        publisher, first = broker.publisher(), reader()
        for number in range(3):
            publisher.publish("a", [item(number)])
        first.consume("a")
        first.read(lambda: len(first.received) == 3)
        lost = first.deliveries()[1]
        # the connection is gone before the acknowledgement
        first.connection.collect()
        first.source.acknowledge([lost])
        second = reader(seen=first.seen)
        second.consume("a")
        second.read(lambda: len(second.received) == 2)
        second.drain()
        assert second.numbers() == [0, 2]
        second.close()
        assert broker.numbers("a", 2) == [0, 2]

    def test_given_a_message_that_looks_like_an_acknowledged_one_but_is_new_expect_it_read(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        reading = reader(seen=OrderedDict(known=None))
        reading.consume("a")
        with broker.connection() as connection:
            body = encode_batch("a", [item(1)])
            publish = partial(connection.Producer().publish, body, exchange="", routing_key=f"{broker.prefix}a")
            publish(message_id="known", content_type="application/x-anything", content_encoding="binary")
        reading.read(lambda: reading.numbers() == [1])

    def test_it_remembers_a_bounded_number_of_acknowledged_ones_the_latest(
        self, broker: Broker, reader: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(amqp_source, "REMEMBERED", 3)
        publisher, reading = broker.publisher(), reader()
        for number in range(5):
            publisher.publish("a", [item(number)])
        reading.consume("a")
        reading.read(lambda: len(reading.received) == 5)
        for delivery in reading.deliveries():
            reading.source.acknowledge([delivery])
        assert list(reading.seen) == [delivery.message_id for delivery in reading.deliveries()[2:]]

    def test_given_a_message_that_came_by_an_exchange_expect_it_dropped_and_the_rest_read(
        self, broker: Broker, reader: Callable[..., Reader]
    ) -> None:
        reading = reader()
        reading.consume("a")
        with broker.connection() as connection, connection.channel() as amqp_channel:
            amqp_channel.queue_bind(f"{broker.prefix}a", "amq.topic", "other.#")
            connection.Producer().publish({"a": 1}, exchange="amq.topic", routing_key="other.key")
        broker.publisher().publish("a", [item(1)])
        reading.read(lambda: reading.numbers() == [1] and reading.dropped == {"unreadable": 1})


def test_given_an_entry_in_redis_that_kombu_did_not_write_expect_it_dropped_and_the_rest_read(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(redis_url)
    reading = Reader(broker)
    with redis.Redis.from_url(redis_url) as client:
        for entry in (b"garbage", b"\xff", b"[]", b"{}", b'{"body": 5}', b"null", b'{"body": "x", "properties": {}}'):
            client.lpush(f"{broker.prefix}a", entry)
    broker.publisher().publish("a", [item(1)])
    reading.consume("a")
    reading.read(lambda: reading.numbers() == [1] and reading.dropped["unreadable"] == 7)
    assert caplog.text.count("cannot be read and is dropped") == 7
    reading.close()
    broker.close()
