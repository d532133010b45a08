"""What must not get lost: `publish` returns when the broker keeps a message, and raises in time when it does not."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu import Connection, Queue

from channelcelery.broker.confirmed import ConfirmedPublisher
from channelcelery.broker.connection import broker_app
from channelcelery.broker.reliable_queues import dead_queue, reliable_queue, reliable_queue_name
from channelcelery.conf import layer_config
from channelcelery.core.capacity import SAMPLE_INTERVAL
from channelcelery.exceptions import BrokerUnavailable, ChannelFull
from tests.contract.brokers import Broker
from tests.contract.test_queues import frozen
from tests.processes import wait_until
from tests.servers import RabbitServer, RedisServer

on_servers = pytest.mark.parametrize("broker", ["redis", "amqp"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker", ["amqp"], indirect=True)

TASK = "channelcelery.reliable"


@pytest.fixture
def publisher(broker: Broker) -> Iterator[ConfirmedPublisher]:
    publisher = confirmed(broker)
    yield publisher
    publisher.close()


def confirmed(broker: Broker, **config: Any) -> ConfirmedPublisher:
    entry = {"BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {"prefix": broker.prefix, **config}}
    return ConfirmedPublisher(layer_config("default", entry), lambda: Connection(broker.url))


def message(number: int) -> Any:
    return broker_app().amqp.as_task_v2(f"id-{number}", TASK, [number])


def take(broker: Broker, channel: str, within: float = 10) -> int:
    """Take the next message off a reliable channel and return its number."""
    with Connection(broker.url) as connection:
        queue = reliable_queue(broker.prefix, channel, connection.transport.driver_type).bind(connection.channel())
        found: Any = wait_until(queue.get, timeout=within, what=f"a message in {queue.name}")
        found.ack()
        assert found.headers["id"] == found.properties["correlation_id"]
        return int(found.payload[0][0])


@on_servers
class TestPublishing:
    def test_given_messages_expect_tasks_in_order_in_a_durable_queue(
        self, broker: Broker, publisher: ConfirmedPublisher
    ) -> None:
        for number in range(5):
            publisher.publish("orders.paid", TASK, message(number))
        assert [take(broker, "orders.paid") for _ in range(5)] == list(range(5))
        assert publisher.depth("orders.paid") == 0

    def test_if_the_channel_is_at_capacity_expect_an_error_and_room_later(self, broker: Broker) -> None:
        publisher = confirmed(broker, channel_capacity={"orders.*": 3})
        for number in range(3):
            publisher.publish("orders.paid", TASK, message(number))
        with pytest.raises(ChannelFull):
            wait_until(lambda: publisher.publish("orders.paid", TASK, message(3)), what="the channel to be full")
        assert take(broker, "orders.paid") == 0

        def sent() -> bool:
            try:
                publisher.publish("orders.paid", TASK, message(4))
            except ChannelFull:
                return False
            return True

        wait_until(sent, what=f"room, seen {SAMPLE_INTERVAL} s later")
        publisher.close()


@on_rabbitmq
class TestRabbitMq:
    def test_if_the_queue_is_deleted_expect_it_again_with_the_message_in_it(
        self, broker: Broker, publisher: ConfirmedPublisher
    ) -> None:
        """AMQP 0-9-1, basic.publish: a message that is `mandatory` comes back where no queue takes it."""
        publisher.publish("orders.paid", TASK, message(1))
        with Connection(broker.url) as connection:
            connection.channel().queue_delete(reliable_queue_name(broker.prefix, "orders.paid"))
        publisher.publish("orders.paid", TASK, message(2))
        assert take(broker, "orders.paid") == 2

    def test_given_a_delay_expect_the_message_after_it_and_not_before(
        self, broker: Broker, publisher: ConfirmedPublisher
    ) -> None:
        begun = time.monotonic()
        publisher.publish("orders.paid", TASK, message(1), delay=1.2)
        publisher.publish("orders.paid", TASK, message(2))
        assert take(broker, "orders.paid") == 2
        assert take(broker, "orders.paid") == 1
        assert time.monotonic() - begun >= 1.2, "RabbitMQ counts in seconds, and none may be cut off"

    def test_given_a_message_that_is_rejected_expect_it_among_the_dead(
        self, broker: Broker, publisher: ConfirmedPublisher
    ) -> None:
        publisher.publish("orders.paid", TASK, message(7))
        with Connection(broker.url) as connection:
            queue = reliable_queue(broker.prefix, "orders.paid", "amqp").bind(connection.channel())
            wait_until(queue.get, what="the message").reject(requeue=False)
            dead = dead_queue(broker.prefix, "amqp").bind(connection.channel())
            found: Any = wait_until(dead.get, what="the dead message")
            found.ack()
            assert found.headers["id"] == "id-7"


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_if_the_broker_is_frozen_or_killed_expect_an_error_in_time_and_nothing_lost(
    kind: str, new_redis: Callable[..., RedisServer], new_rabbit: Callable[[], RabbitServer]
) -> None:
    server = new_redis() if kind == "redis" else new_rabbit()
    broker = Broker(server.url)
    publisher = confirmed(broker, publish_timeout=0.5)
    publisher.publish("a", TASK, message(1))
    with frozen(server):
        fails_in_time(lambda: publisher.publish("a", TASK, message(2)))
        fails_in_time(lambda: confirmed(broker, publish_timeout=0.5).publish("a", TASK, message(2)))
    publisher.publish("a", TASK, message(3))
    numbers = {take(broker, "a")}
    while 3 not in numbers:
        numbers.add(take(broker, "a"))
    assert {1, 3} <= numbers <= {1, 2, 3}, "the second may have arrived, since its sender was told that it is unknown"
    server.kill()
    fails_in_time(lambda: publisher.publish("a", TASK, message(4)))
    broker.close()


def fails_in_time(call: Callable[[], object]) -> None:
    """Expect a time limit of half a second to be kept, with room for a busy machine."""
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        call()
    assert time.monotonic() - begun < 5


@on_rabbitmq
def test_if_the_queue_has_other_arguments_expect_an_error_that_says_what_to_do(
    broker: Broker, publisher: ConfirmedPublisher
) -> None:
    """Given a queue of that name with a message / Expect the message to stay, and sends to work once it is deleted."""
    with Connection(broker.url) as connection:
        amqp_channel: Any = connection.channel()
        name = reliable_queue_name(broker.prefix, "orders.paid")
        Queue(name, durable=True).bind(amqp_channel).declare()
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match=r"with other arguments.*delete it"):
                publisher.publish("orders.paid", TASK, message(1))
        amqp_channel.queue_delete(name)
    publisher.publish("orders.paid", TASK, message(2))
    assert take(broker, "orders.paid") == 2
