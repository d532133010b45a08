"""Delayed messages whose broker hangs, or ends, while they leave: each is sent once, or counted as lost."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channelcelery.core.envelope import encode_content
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.redis import RedisChannelLayer
from channelcelery.layers.upkeep import send_due
from channelcelery.worker.flush import put_back
from tests.contract.brokers import Broker, items
from tests.contract.reply_backends import config_of
from tests.processes import wait_until
from tests.servers import RedisServer


@pytest.fixture
def server(new_redis: Callable[..., RedisServer]) -> RedisServer:
    """A broker that keeps all that it says it has."""
    return new_redis(appendonly=True, appendfsync="always")


@pytest.fixture
def broker(server: RedisServer) -> Iterator[Broker]:
    made = Broker(server.url)
    yield made
    made.close()


@pytest.fixture
def layer(broker: Broker, redis_url: str) -> Iterator[ChannelLayer]:
    """A layer whose broker is another Redis than its own, and has one message already."""
    made = RedisChannelLayer(config_of("redis", hosts=[redis_url], prefix=broker.prefix))
    made.publisher = broker.publisher(publish_timeout=0.5)
    made.publisher.publish("a", items(range(1)))
    yield made
    made.close()


def have_due(layer: ChannelLayer, count: int) -> None:
    """Have messages wait that are due."""
    layer.delays.add([DelayedSend("a", encode_content({"n": number}, 1_000), 1) for number in range(count)])
    time.sleep(0.002)


def end_after_one(server: RedisServer, publisher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the broker end when it has one batch."""
    send, sent = publisher._send, []

    def end_and_send(*arguments: Any) -> None:
        if len(sent) == 1:
            server.stop()
        send(*arguments)
        sent.append(1)

    monkeypatch.setattr(publisher, "_send", end_and_send)


def test_if_the_broker_hangs_expect_none_sent_twice(server: RedisServer, broker: Broker, layer: ChannelLayer) -> None:
    have_due(layer, 10)
    server.pause()
    with pytest.raises(BrokerUnanswered):
        send_due(layer)
    server.resume()
    assert layer.dropped == {"broker_unanswered": 10}
    assert send_due(layer) == 0
    broker.batches("a", 1 + 10)


def test_if_the_broker_ends_among_them_expect_those_again_that_it_did_not_take(
    server: RedisServer, broker: Broker, layer: ChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_due(layer, 100)
    with monkeypatch.context() as patch:
        end_after_one(server, layer.publisher, patch)
        with pytest.raises(BrokerUnavailable):
            send_due(layer)
    server.start()
    wait_until(lambda: send_due(layer) == 36, what="the others to be due")
    broker.batches("a", 1 + 100)


def test_if_the_broker_ends_while_a_worker_gives_back_expect_what_it_took_not_counted_as_lost(
    server: RedisServer, broker: Broker, layer: ChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        end_after_one(server, layer.publisher, patch)
        assert put_back(layer, "a", items(range(192))) == {"broker_unavailable": 128}
    server.start()
    broker.batches("a", 1 + 64)


def test_if_the_broker_hangs_while_a_worker_gives_back_expect_one_batch_counted_and_the_rest_given_back(
    server: RedisServer, broker: Broker, layer: ChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher: Any = layer.publisher
    send, tries = publisher._send, []

    def send_once_it_hangs(*arguments: Any) -> None:
        tries.append(1)
        (server.pause if len(tries) == 1 else server.resume)()
        send(*arguments)

    monkeypatch.setattr(publisher, "_send", send_once_it_hangs)
    assert put_back(layer, "a", items(range(192))) == {"broker_unanswered": 64}
    # that it read the first one when it went on is as it may be
    broker.batches("a", 1 + 192)
