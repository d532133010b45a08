"""The servers that other tests lean on: they start, stop, come back and keep what they should."""

from collections.abc import Callable

import kombu
import pytest
import redis
from kombu.exceptions import OperationalError

from tests.servers import RabbitServer, RedisServer, wait_until


@pytest.mark.parametrize("broker_url", ["memory", "redis", "amqp"], indirect=True)
@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_gets_an_empty_broker(broker_url: str, round_: int) -> None:
    with kombu.Connection(broker_url) as connection, connection.SimpleQueue(f"mine-{broker_url[:3]}") as queue:
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        queue.put({"round": round_})
        message = queue.get(timeout=5)
        assert message.payload == {"round": round_}
        message.ack()
        if not broker_url.startswith("memory"):
            queue.put("left behind")


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_broker_and_reply_half_never_share_a_database(broker_url: str, redis_url: str) -> None:
    assert broker_url != redis_url


def test_given_a_redis_with_appendonly_if_killed_and_started_expect_its_data(
    new_redis: Callable[..., RedisServer],
) -> None:
    server = new_redis(appendonly=True)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "1")
        client.config_set("appendfsync", "always")
        client.set("kept", "2")
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"2"


def test_given_a_frozen_redis_expect_no_answer_until_it_goes_on(new_redis: Callable[..., RedisServer]) -> None:
    server = new_redis()
    with redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        client.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        wait_until(client.ping, what="the server to answer")


def test_given_rabbitmq_if_connections_are_cut_or_it_is_killed_expect_it_back_with_durable_messages(
    new_rabbit: Callable[[], RabbitServer],
) -> None:
    server = new_rabbit()
    url = server.new_vhost()
    with kombu.Connection(url) as connection:
        with connection.SimpleQueue("durable") as queue:
            queue.put("kept", delivery_mode=2)
        amqp_channel = connection.channel()
        server.close_connections()
        # Not `connection.default_channel`, which would connect again by itself.
        with pytest.raises(connection.connection_errors):
            amqp_channel.queue_declare("durable", passive=True)
    server.kill()
    with pytest.raises((OSError, OperationalError)), kombu.Connection(url) as connection:
        connection.connect()
    server.start()
    with kombu.Connection(url) as connection, connection.SimpleQueue("durable") as queue:
        assert queue.get(timeout=5).payload == "kept"
