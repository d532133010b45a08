"""The script of Redis and the state in memory decide alike about order: both are led through the same histories."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelcelery.core.ordering import LAST, LAST_CHANNEL, Arrival
from tests.contract.order_backends import Memory, OnRedis, address

CHANNELS = ("websocket.connect", "websocket.receive", LAST_CHANNEL)
TOKENS, NUMBERS = st.sampled_from("tu"), st.one_of(st.integers(0, 6), st.just(LAST))
ROOM, ALLOWED = st.integers(0, 3), st.sets(st.sampled_from(CHANNELS))

STEPS = st.one_of(
    st.tuples(st.just("enter"), TOKENS, NUMBERS, ROOM, ALLOWED, st.sampled_from(CHANNELS), st.booleans()),
    st.tuples(st.just("leave"), TOKENS, NUMBERS, ROOM, ALLOWED, st.booleans()),
    st.tuples(st.just("wait"), TOKENS),
    st.tuples(st.just("renew"), TOKENS, NUMBERS),
    st.tuples(st.just("sweep"), st.integers(1, 2)),
    st.tuples(st.just("close"), TOKENS),
    st.tuples(st.just("expire"), TOKENS),
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_both_show_the_same(redis_url: str, steps: list[tuple[Any, ...]]) -> None:
    """Given any history. Expect every answer of both to be equal, and the same connections to be looked at."""
    memory, on_redis = Memory(), OnRedis(redis_url)
    try:
        for step in steps:
            assert memory.step(step) == on_redis.step(step), step
            assert memory.looked_at() == on_redis.looked_at(), step
    finally:
        on_redis.end()


@pytest.mark.parametrize("size", [10, 4_000_000])
def test_both_park_as_many(redis_url: str, size: int) -> None:
    """Given messages that all wait. Expect the same to be refused, by count or by bytes, but never the disconnect."""
    memory, on_redis = Memory(), OnRedis(redis_url)
    try:
        for number in range(2, 110):
            arrival = Arrival(number, "websocket.receive", b"x" * size)
            verdicts = {twin.store.enter(address("t"), arrival) for twin in (memory, on_redis)}
            assert len(verdicts) == 1, number
            if number == 4:
                size = 10
        disconnect = Arrival(110, LAST_CHANNEL, b"")
        assert memory.store.enter(address("t"), disconnect) == on_redis.store.enter(address("t"), disconnect)
    finally:
        on_redis.end()
