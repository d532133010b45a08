"""Scripts on Redis from threads: on connections that are kept, and no script is lost by that."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel, SentinelConnectionPool

from channelcelery.broker import script_runner
from channelcelery.broker.script_runner import Script, ScriptRunner
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.redis_clients import sync_client
from channelcelery.layers.redis_scripts import Scripts
from tests.contract.reply_backends import config_of
from tests.processes import wait_until
from tests.servers import RedisServer

THREADS = 20


@contextmanager
def scripts_of(url: str) -> Iterator[tuple[Scripts, redis.Redis]]:
    client = sync_client(config_of("redis", hosts=[url]), url)
    yield Scripts(client), client
    client.close()


def members(scripts: Scripts) -> Any:
    return scripts.run("members", "cc:", "g")


def test_given_more_threads_than_connections_are_kept_expect_all_answered_and_the_others_given_back(
    new_redis: Callable[..., RedisServer],
) -> None:
    """What else uses the client is not to wait in vain for a connection that nobody uses."""
    server = new_redis()
    with scripts_of(server.url) as (scripts, client):
        pool: Any = client.connection_pool
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(members(scripts))) for _ in range(THREADS)]
        server.pause()
        for thread in threads:
            thread.start()
        wait_until(lambda: pool.pool.qsize() == pool.max_connections - THREADS, what="a connection for each")
        server.resume()
        for thread in threads:
            thread.join(10)
        assert answers == [[]] * THREADS
        assert pool.pool.qsize() == pool.max_connections - 8


def test_given_calls_one_after_another_expect_one_connection(new_redis: Callable[..., RedisServer]) -> None:
    url = new_redis().url
    with scripts_of(url) as (scripts, _), redis.Redis.from_url(url) as admin:
        for _ in range(5):
            assert members(scripts) == []
        assert len(_clients(admin)) == 2


@pytest.mark.parametrize("how", ["closed by Redis", "closed here"])
def test_given_a_kept_connection_that_was_closed_expect_another_one_and_nothing_lost(
    new_redis: Callable[..., RedisServer], how: str
) -> None:
    url = new_redis().url
    with scripts_of(url) as (scripts, client), redis.Redis.from_url(url) as admin:
        assert members(scripts) == []
        if how == "closed here":
            client.close()
        else:
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert members(scripts) == []


def test_given_an_error_of_the_script_expect_it_told_and_the_next_one_run(
    new_redis: Callable[..., RedisServer],
) -> None:
    url = new_redis().url
    with scripts_of(url) as (scripts, client), redis.Redis.from_url(url) as admin:
        admin.set("cc:group:g", "no set")
        with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
            members(scripts)
        admin.delete("cc:group:g")
        assert members(scripts) == []
        pool: Any = client.connection_pool
        assert pool.pool.qsize() == pool.max_connections - 1


def test_given_another_master_expect_the_next_script_on_that(
    new_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the connection that is kept broke, as it does where a master dies, Expect that Sentinel is asked."""
    servers = [new_redis(), new_redis()]
    master = servers[0]
    monkeypatch.setattr(Sentinel, "discover_master", lambda *_: ("127.0.0.1", master.port))
    pool = SentinelConnectionPool("m", Sentinel([]))
    runner, count = ScriptRunner(pool, 1), Script("return redis.call('INCR', 'runs')")
    assert runner.run(count, (), ()) == 1
    master = servers[1]
    with redis.Redis.from_url(servers[0].url) as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert [runner.run(count, (), ()) for _ in range(2)] == [1, 2]
        assert admin.get("runs") == b"1"
    pool.disconnect()


def test_given_a_connection_that_was_kept_for_long_expect_its_pool_to_see_it(
    new_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may have to authenticate it anew."""
    with scripts_of(new_redis().url) as (scripts, client):
        pool: Any = client.connection_pool
        assert members(scripts) == []
        assert pool.pool.qsize() == pool.max_connections - 1
        monkeypatch.setattr(script_runner, "_KEPT_SECONDS", 0)
        assert members(scripts) == []
        assert pool.pool.qsize() == pool.max_connections


def test_given_nothing_is_kept_expect_every_connection_back(new_redis: Callable[..., RedisServer]) -> None:
    with redis.Redis.from_url(new_redis().url, max_connections=1) as client:
        runner = ScriptRunner(client.connection_pool, 0)
        for _ in range(2):
            assert runner.run(Script("return ARGV[1] .. KEYS[1]"), ["k"], ["a"]) == b"ak"
            assert client.ping()


class Interrupted(BaseException):
    """A time limit of the pool, which comes as a signal."""


def test_if_a_script_is_interrupted_while_it_waits_expect_its_answer_to_pass_for_no_other_s(
    new_redis: Callable[..., RedisServer],
) -> None:
    """Expect its connection to be left to others too."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    server = new_redis()
    with scripts_of(server.url) as (scripts, client), redis.Redis.from_url(server.url) as admin:
        assert members(scripts) == []
        admin.set("cc:group:no set", "a")
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            server.pause()
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                members(scripts)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            server.resume()
        with pytest.raises(LayerUnavailable, match="WRONGTYPE"):
            scripts.run("members", "cc:", "no set")
        pool: Any = client.connection_pool
        assert pool.pool.qsize() == pool.max_connections


def _clients(admin: redis.Redis) -> list[Any]:
    found: Any = admin.client_list()
    return list(found)
