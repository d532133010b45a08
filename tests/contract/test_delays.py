"""Delayed messages (Channels 1.x, items 206 and 207), over memory and Redis, and of reliable channels on Redis."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from channelcelery.broker.ledger import Ledger
from channelcelery.conf import LayerConfig, layer_config
from channelcelery.core.delivery import host_of
from channelcelery.core.envelope import encode_content
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.base import DelayStore
from channelcelery.layers.memory_delays import MemoryDelayStore
from channelcelery.layers.redis_delays import RedisDelayStore
from tests.servers import wait_until

CONTENT = encode_content({"text": "later", "bytes": b"\xff"}, 1_000)


def config(*hosts: str, capacity: int = 100) -> LayerConfig:
    """Return the settings of a layer on these servers."""
    settings = {"hosts": list(hosts), "prefix": "test:", "delay_capacity": capacity}
    return layer_config("default", {"BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": settings})


@pytest.fixture(params=["memory", "redis", "two redis"])
def store(request: pytest.FixtureRequest) -> Iterator[DelayStore]:
    """An empty store with room for 100 messages."""
    if request.param == "memory":
        yield MemoryDelayStore(100)
        return
    hosts = [request.getfixturevalue("redis_url")]
    if request.param == "two redis":
        hosts.append(request.getfixturevalue("redis_server_shared").database(0))
    made = RedisDelayStore(config(*hosts))
    while made.take_due(100):
        pass
    yield made
    made.close()


def test_given_delays_then_messages_come_in_their_order_and_never_early(store: DelayStore) -> None:
    begun = time.monotonic()
    assert store.add([DelayedSend("c", CONTENT, 150), DelayedSend("a", CONTENT, 50), DelayedSend("b", CONTENT, 100)])
    came: dict[str, float] = {}

    def take() -> bool:
        for send in store.take_due(10):
            assert send.content == CONTENT
            came[send.channel] = (time.monotonic() - begun) * 1000
        return len(came) == 3

    wait_until(take, timeout=10, what="three messages", interval=0.002)
    assert came["a"] >= 50
    assert came["b"] >= 100
    assert came["c"] >= 150


def test_if_flushed_then_none_comes(store: DelayStore) -> None:
    """Item 50."""
    assert store.add([DelayedSend(name, CONTENT, 1) for name in "abcdefgh"])
    store.flush()
    # due later than those were, which therefore would come with it
    assert store.add([DelayedSend(name, CONTENT, 5) for name in ("x", "y")])
    taken: list[DelayedSend] = []
    wait_until(lambda: taken.extend(store.take_due(10)) or len(taken) >= 2, timeout=10)
    assert sorted(send.channel for send in taken) == ["x", "y"]


def test_given_equal_messages_then_each_comes_once(store: DelayStore) -> None:
    store.add([DelayedSend("work", CONTENT, 1)] * 3)
    taken: list[DelayedSend] = []
    wait_until(lambda: taken.extend(store.take_due(10)) or len(taken) >= 3, timeout=10)
    assert len(taken) == 3
    assert store.take_due(10) == []


def test_given_several_takers_then_no_message_is_taken_twice(store: DelayStore) -> None:
    for number in range(90):
        assert store.add([DelayedSend(f"work-{number}", CONTENT, 1)])
    taken: list[str] = []

    def take() -> None:
        deadline = time.monotonic() + 10
        while len(taken) < 90 and time.monotonic() < deadline:
            taken.extend(send.channel for send in store.take_due(7))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"work-{number}" for number in range(90))


def test_if_there_is_no_room_then_messages_are_refused_and_there_is_room_again_later(store: DelayStore) -> None:
    assert store.add([DelayedSend("work", CONTENT, 1)] * 100)
    assert not store.add([DelayedSend("work", CONTENT, 1)])
    wait_until(lambda: store.take_due(100), timeout=10)
    assert store.add([DelayedSend("work", CONTENT, 1)])


def test_if_redis_is_not_there_then_the_error_says_so() -> None:
    store = RedisDelayStore(config("redis://127.0.0.1:1/0"))
    with pytest.raises(LayerUnavailable):
        store.add([DelayedSend("work", CONTENT, 1)])


def test_if_one_redis_of_two_is_away_expect_what_the_other_gives_and_takes(redis_url: str) -> None:
    """Given messages of many channels, which are spread over both / Expect those of the first, and no others lost."""
    names = [f"work-{number}" for number in range(20)]
    here = RedisDelayStore(config(redis_url, "redis://127.0.0.1:1/0"))
    with pytest.raises(LayerUnavailable):
        here.add([DelayedSend(name, CONTENT, 1) for name in names])
    taken: list[str] = []
    first = [name for name in names if host_of(name, 2) == 0]
    assert 0 < len(first) < len(names)
    wait_until(lambda: take_some(here, taken) >= len(first), timeout=10)
    assert sorted(taken) == sorted(first)
    with pytest.raises(LayerUnavailable):
        here.take_due(10)
    here.close()


def take_some(store: DelayStore, taken: list[str]) -> int:
    """Take what is due, if anything, and return how many were taken in all."""
    with suppress(LayerUnavailable):
        taken.extend(send.channel for send in store.take_due(10))
    return len(taken)


@pytest.fixture
def ledgers(redis_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """What two processes know of the messages under way on a Redis that is a broker."""
    pools = [redis.ConnectionPool.from_url(redis_url) for _ in range(2)]
    first, second = (Ledger(pool, ("unacked", "unacked_index"), 1.0, lambda *_: []) for pool in pools)
    yield first, second
    for pool in pools:
        pool.disconnect()


class TestReliable:
    """Messages for reliable channels on Redis wait in the broker, next to the queue that they go to."""

    def test_given_delays_expect_each_in_its_queue_then_and_not_before(
        self, ledgers: tuple[Ledger, Ledger], redis_url: str
    ) -> None:
        """If two processes look at the same time, expect each message once, and a bell for those who wait."""
        begun = time.monotonic()
        for number, milliseconds in enumerate((150, 50, 100)):
            ledgers[0].wait(milliseconds, "orders", "orders:bell", json.dumps({"number": number}))
        assert [ledger.release_due() for ledger in ledgers] == [0, 0]
        came: list[float] = []

        def look() -> bool:
            for ledger in ledgers:
                came.extend([(time.monotonic() - begun) * 1000] * ledger.release_due())
            return len(came) >= 3

        wait_until(look, timeout=10, what="three messages", interval=0.002)
        assert all(at >= after for at, after in zip(came, (50, 100, 150), strict=True)), came
        with redis.Redis.from_url(redis_url) as client:
            messages = client.lrange("orders", 0, -1)
            assert [json.loads(message)["number"] for message in messages] == [0, 2, 1], "taken from the other end"
            assert client.llen("orders:bell") == 1
        assert [ledger.release_due() for ledger in ledgers] == [0, 0]

    def test_given_more_than_one_look_takes_expect_the_rest_at_the_next(self, ledgers: tuple[Ledger, Ledger]) -> None:
        for number in range(501):
            ledgers[0].wait(1, "orders", "orders:bell", json.dumps({"number": number}))
        released: list[int] = []
        wait_until(lambda: released.append(ledgers[1].release_due()) or sum(released) == 501, timeout=10)
        assert max(released) <= 500
