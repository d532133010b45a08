"""Counting runs of reliable messages: the same in memory and on Redis."""

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channelcelery.conf import LayerConfig
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.attempts import AttemptStore, MemoryAttemptStore
from channelcelery.layers.redis_attempts import RedisAttemptStore


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> AttemptStore:
    if request.param == "memory":
        return MemoryAttemptStore()
    url = request.getfixturevalue("redis_url")
    return RedisAttemptStore(LayerConfig("default", "redis", hosts=(url, url)))


def test_given_redeliveries_expect_each_counted_once_for_its_message(store: AttemptStore) -> None:
    assert [store.count("a", 1), store.count("a", 1), store.count("b", 1)] == [2, 3, 2]


def test_given_a_retry_expect_it_counted_on_from_what_it_says(store: AttemptStore) -> None:
    """The copy that was sent for the next run says more than the count, or less where that ran on meanwhile."""
    assert [store.count("a", 1), store.count("a", 4), store.count("a", 2)] == [2, 5, 6]


def test_if_it_is_forgotten_expect_the_count_anew(store: AttemptStore) -> None:
    store.count("a", 7)
    store.forget("a")
    assert store.count("a", 1) == 2


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 9)), max_size=20))
def test_expect_the_script_to_count_as_its_twin(redis_url: str, story: list[tuple[str, int]]) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    twins = [MemoryAttemptStore(), RedisAttemptStore(LayerConfig("default", "redis", hosts=(redis_url,)))]
    counts = [[store.count(name, written) for name, written in story] for store in twins]
    for store in twins:
        store.close()
    assert counts[0] == counts[1]


def test_given_counts_on_redis_expect_them_to_end(redis_url: str) -> None:
    RedisAttemptStore(LayerConfig("default", "redis", hosts=(redis_url,), prefix="p:")).count("a", 1)
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"p:attempts:a"]
        assert 0 < client.ttl("p:attempts:a") <= 30 * 24 * 3600


def test_if_redis_is_away_expect_an_error() -> None:
    store = RedisAttemptStore(LayerConfig("default", "redis", hosts=("redis://127.0.0.1:1/0",)))
    with pytest.raises(LayerUnavailable):
        store.count("a", 1)
