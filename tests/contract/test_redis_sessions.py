"""Sessions in a layer's Redis, as Django and the session decorators use them (Channels 1.x, item 146)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core.exceptions import ImproperlyConfigured

from channelcelery.channel import Channel
from channelcelery.exceptions import ConsumeLater, LayerUnavailable
from channelcelery.redis_sessions import SessionStore
from channelcelery.sessions import channel_session, channel_session_key, http_session, session_for_reply_channel
from tests.servers import RedisServer
from tests.unit.sockets import REPLY, connect_message, disconnect_message, receive_message

ENGINE = "channelcelery.redis_sessions"


@pytest.fixture
def store(redis_url: str, settings: Any) -> redis.Redis:
    """The layer's Redis."""
    use(settings, redis_url)
    return redis.Redis.from_url(redis_url)


def use(settings: Any, *hosts: str, **config: Any) -> None:
    settings.SESSION_ENGINE = ENGINE
    entry = {"BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {"hosts": list(hosts), "prefix": "p:"}}
    entry["CONFIG"].update(config)  # type: ignore[attr-defined]
    settings.CHANNEL_LAYERS = {"default": entry}


def made(**data: Any) -> SessionStore:
    session = SessionStore()
    session.update(data)
    session.save()
    return session


@pytest.mark.usefixtures("store")
class TestStore:
    def test_given_data_expect_it_back(self) -> None:
        session = made(a=[1, "ä"], b={"c": None})
        again = SessionStore(session.session_key)
        assert dict(again.items()) == {"a": [1, "ä"], "b": {"c": None}}
        assert again.exists(session.session_key or "")
        assert again.session_key == session.session_key

    def test_given_an_unknown_key_expect_an_empty_session_without_one(self) -> None:
        session = SessionStore("z" * 32)
        assert dict(session.items()) == {}
        assert session.session_key is None
        assert not session.exists("z" * 32)
        strange = SessionStore("strange\r\n ключ and more")
        assert dict(strange.items()) == {}

    def test_given_an_expiry_expect_redis_to_forget_it(self, store: redis.Redis, settings: Any) -> None:
        settings.SESSION_COOKIE_AGE = 1234
        session = made(a=1)
        (key,) = store.keys("*")
        assert key == f"p:session:{session.session_key}".encode()
        assert 1230 <= store.ttl(key) <= 1234  # type: ignore[operator]
        session.set_expiry(50)
        session.save()
        assert 45 <= store.ttl(key) <= 50  # type: ignore[operator]
        session.set_expiry(-1)
        session.save()
        assert store.keys("*") == []
        SessionStore.clear_expired()

    def test_given_create_and_save_expect_neither_to_take_the_other_s_place(self) -> None:
        session = made(a=1)
        with pytest.raises(CreateError):
            SessionStore(session.session_key).save(must_create=True)
        session.delete()
        session["a"] = 2
        with pytest.raises(UpdateError):
            session.save()
        session.save(must_create=True)
        assert SessionStore(session.session_key)["a"] == 2

    def test_given_flush_and_cycle_key_expect_the_former_key_gone(self, store: redis.Redis) -> None:
        session = made(a=1)
        former = session.session_key
        session.cycle_key()
        assert session.session_key != former
        assert SessionStore(session.session_key)["a"] == 1
        assert len(store.keys("*")) == 1  # type: ignore[arg-type]
        session.flush()
        assert store.keys("*") == []

    def test_given_tampered_data_expect_none(self, store: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
        session = made(a=1)
        (key,) = store.keys("*")
        store.set(key, "forged")
        with caplog.at_level(logging.CRITICAL):
            assert dict(SessionStore(session.session_key).items()) == {}

    def test_given_async_code_expect_it_to_work(self) -> None:
        async def use_it() -> Any:
            session = SessionStore()
            await session.aset("a", 1)
            await session.asave()
            return await SessionStore(session.session_key).aget("a")

        assert asyncio.run(use_it()) == 1


@pytest.mark.usefixtures("store")
class TestDecorators:
    def test_given_a_connection_expect_its_session_while_it_lasts(self, store: redis.Redis) -> None:
        @channel_session
        def consumer(message: Any) -> int:
            message.channel_session["n"] = message.channel_session.get("n", 0) + 1
            return int(message.channel_session["n"])

        assert [consumer(connect_message()), consumer(receive_message()), consumer(receive_message())] == [1, 2, 3]
        assert store.keys("*") == [f"p:session:{channel_session_key(REPLY)}".encode()]
        assert consumer(disconnect_message()) == 4
        assert store.keys("*") == []

    def test_given_two_that_create_it_at_once_expect_one_to_run_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        channel_session(lambda message: None)(connect_message())
        monkeypatch.setattr(SessionStore, "exists", lambda self, key: False)
        with pytest.raises(ConsumeLater):
            channel_session(lambda message: None)(receive_message())

    def test_given_a_browser_s_session_expect_it(self) -> None:
        session = made(a=1)
        read = http_session(lambda message: message.http_session["a"])
        assert read(connect_message(cookie=session.session_key)) == 1


def test_given_several_hosts_expect_sessions_spread_over_them(
    redis_server_shared: RedisServer, redis_url: str, settings: Any
) -> None:
    other = redis_server_shared.database(0)
    use(settings, redis_url, other, prefix="spread:")
    keys = [made(n=n).session_key for n in range(40)]
    assert [SessionStore(key)["n"] for key in keys] == list(range(40))
    counts = [len(redis.Redis.from_url(url).keys("spread:session:*")) for url in (redis_url, other)]  # type: ignore[arg-type]
    for key in keys:
        SessionStore(key).delete()
    assert sum(counts) == 40
    assert all(counts)


def test_given_a_layer_in_memory_expect_the_mend(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"}}
    with pytest.raises(ImproperlyConfigured, match="CHANNELS_SESSION_LAYER"):
        SessionStore("z" * 32).load()


def test_given_another_alias_expect_its_redis(redis_url: str, settings: Any) -> None:
    use(settings, redis_url)
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"},
        "other": settings.CHANNEL_LAYERS["default"],
    }
    settings.CHANNELS_SESSION_LAYER = "other"
    assert SessionStore(made(a=1).session_key)["a"] == 1
    assert session_for_reply_channel(Channel(REPLY).name).is_empty() is False


def test_if_redis_is_away_expect_layer_unavailable(new_redis: Callable[..., RedisServer], settings: Any) -> None:
    server = new_redis()
    use(settings, server.url)
    session = made(a=1)
    server.stop()
    with pytest.raises(LayerUnavailable):
        SessionStore(session.session_key).load()
    with pytest.raises(LayerUnavailable):
        channel_session(lambda message: None)(connect_message())
