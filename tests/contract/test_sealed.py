"""Encrypted messages on a real Redis, which is broker too: nothing of them is seen, and nothing forged is read."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection

from channelcelery.broker.publisher import KombuPublisher
from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import encode_batch, encode_content, encode_item
from channelcelery.core.inbox import Entry, GroupEntry, JoinEntry, RepliesEntry, encode_replies
from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import Arrival, Verdict
from channelcelery.core.sends import DelayedSend, GroupSend, ReplySend
from channelcelery.layers.redis_delays import RedisDelayStore
from channelcelery.layers.redis_inbox import RedisInbox
from channelcelery.layers.redis_order import RedisOrderStore
from channelcelery.layers.redis_pieces import RedisWorkerPieces
from channelcelery.layers.redis_store import RedisReplyStore
from channelcelery.redis_sessions import SessionStore, _clients
from tests.servers import redis_server

SECRET = "nobody is to see this"
CONTENT = encode_content({"text": SECRET}, 10_000)
ADDRESS = ReplyAddress("node", "token")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """What an attacker has, who can read and write there."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def config(url: str) -> LayerConfig:
    return LayerConfig("default", "redis", hosts=(url,), symmetric_encryption_keys=(b"k" * 32,))


def everything(raw: Any) -> bytes:
    """Return all that is in Redis."""
    return b"".join(raw.dump(key) for key in raw.keys("*"))  # small values are not compressed


@pytest.fixture
def publisher(config: LayerConfig, url: str) -> Iterator[KombuPublisher]:
    it = KombuPublisher(config, lambda: Connection(url))
    yield it
    it.close()


def test_given_a_message_in_a_queue_expect_it_to_be_read_there_only(publisher: KombuPublisher, raw: Any) -> None:
    item = encode_item(CONTENT, int(time.time() * 1000) + 60_000)
    publisher.publish("one", [item])
    assert SECRET.encode() not in everything(raw)
    copy = raw.lindex("cc:one", 0)
    assert publisher.take("one") == item
    raw.lpush("cc:two", copy)
    assert publisher.take("two") is None


def test_given_a_forged_message_in_a_queue_expect_it_to_be_dropped(config: LayerConfig, url: str, raw: Any) -> None:
    """If somebody without the key writes what would be right without one, expect it not to be read."""
    forger = KombuPublisher(LayerConfig("default", "redis", hosts=(url,)), lambda: Connection(url))
    forger.publish("one", [encode_item(CONTENT, int(time.time() * 1000) + 60_000)])
    assert encode_batch("one", []) is not None
    reader = KombuPublisher(config, lambda: Connection(url))
    assert reader.depth("one") == 1
    assert reader.take("one") is None
    forger.close()
    reader.close()


def inbox_entries(config: LayerConfig, raw: Any, *acts: Any) -> tuple[list[Entry], int]:
    """Do what is to be done while an inbox is open; return what it reads, and how many entries it skips."""

    async def run() -> tuple[list[Entry], int]:
        inbox = RedisInbox(config, "node")
        await inbox.open()
        for act in acts:
            act()
        entries, waiting = [], raw.xlen("cc:inbox:node")
        while waiting > len(entries) + inbox.skipped:
            entries += await inbox.read()
        await inbox.close()
        return entries, inbox.skipped

    return asyncio.run(run())


def reply() -> ReplySend:
    return ReplySend(ADDRESS.channel(), "node", "token", CONTENT, False)


def test_given_replies_and_groups_expect_them_to_be_read_and_not_seen(config: LayerConfig, raw: Any) -> None:
    store, seen = RedisReplyStore(config), b""

    def send() -> None:
        nonlocal seen
        store.group_add("g", ADDRESS.channel())
        store.deliver([reply(), GroupSend("g", CONTENT)])
        seen = everything(raw)

    content = {"text": SECRET}
    entries = [JoinEntry("g", "token"), RepliesEntry((("token", content),)), GroupEntry("g", content)]
    assert inbox_entries(config, raw, send) == (entries, 0)
    assert SECRET.encode() not in seen
    store.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"r": encode_replies([("token", CONTENT)])},
        {"g": "g", "b": CONTENT},
        {"j": "secret-group", "k": "token"},
        {"j": "secret-group", "k": "token", "s": b"\xc1\x01" + b"x" * 80},
    ],
    ids=["reply", "group", "join", "join with a proof"],
)
def test_given_an_entry_that_nobody_of_us_wrote_expect_it_to_be_skipped(
    config: LayerConfig, raw: Any, fields: dict[str, Any]
) -> None:
    assert inbox_entries(config, raw, lambda: raw.xadd("cc:inbox:node", fields)) == ([], 1)


def test_given_entries_that_are_used_again_elsewhere_or_later_expect_them_to_be_skipped(
    config: LayerConfig, url: str, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a proof of a join, or a group's message, is put to another group, or comes after its time, expect nothing."""
    store = RedisReplyStore(config)

    def misuse() -> None:
        store.group_add("g", ADDRESS.channel())
        store.deliver([GroupSend("g", CONTENT)])
        joined, sent = (fields for _, fields in raw.xrange("cc:inbox:node"))
        raw.xadd("cc:inbox:node", {**joined, b"j": b"other"})
        raw.xadd("cc:inbox:node", {**joined, b"k": b"other"})
        raw.xadd("cc:inbox:node", {**sent, b"g": b"other"})

    entries, skipped = inbox_entries(config, raw, misuse)
    assert (len(entries), skipped) == (2, 3)
    now = time.time()
    raw.flushall()

    def late() -> None:
        monkeypatch.setattr("channelcelery.layers.redis_store.time.time", lambda: now - 61)
        store.deliver([reply()])
        monkeypatch.undo()

    assert inbox_entries(config, raw, late) == ([], 1)
    store.close()


def test_given_messages_that_wait_expect_them_to_be_read_and_not_seen(config: LayerConfig, raw: Any) -> None:
    """If messages are delayed, wait for their turn, or are pieces of a body, expect each where it belongs."""
    delays, order, pieces = RedisDelayStore(config), RedisOrderStore(config), RedisWorkerPieces(config)
    delays.add([DelayedSend("chat", CONTENT, 1, "00-trace")])
    assert order.enter(ADDRESS, Arrival(1, "chat", CONTENT, False)).verdict is Verdict.RUN
    assert order.enter(ADDRESS, Arrival(2, "chat", CONTENT, False)).verdict is Verdict.PARKED
    pieces.put_body(ADDRESS, CONTENT)
    assert SECRET.encode() not in everything(raw)
    raw.zadd("cc:delayed", {b"forged": 1})
    time.sleep(0.01)
    assert delays.take_due(10) == [DelayedSend("chat", CONTENT, 0, "00-trace")]
    taken = order.leave(ADDRESS, 1, 5, ["chat"]).taken
    assert taken is not None
    assert (taken.number, taken.item) == (2, CONTENT)
    raw.rpush(f"cc:body:{ADDRESS.token}", CONTENT)
    assert [pieces.take_body(ADDRESS, 0) for _ in range(3)] == [CONTENT, b"\xc1", None]
    for store in (delays, order, pieces):
        store.close()


def test_given_a_session_expect_it_to_be_read_by_its_key_only(settings: Any, url: str, raw: Any) -> None:
    backend = "channelcelery.layers.RedisChannelLayer"
    entry = {"BACKEND": backend, "CONFIG": {"hosts": [url], "symmetric_encryption_keys": ["k" * 40]}}
    settings.CHANNEL_LAYERS = {"default": entry}
    _clients.cache_clear()
    one, two = SessionStore(), SessionStore()
    for store in (one, two):
        store["who"] = SECRET
        store.save()
    assert SECRET.encode() not in everything(raw)
    assert SessionStore(one.session_key)["who"] == SECRET
    raw.rename(f"cc:session:{one.session_key}", f"cc:session:{two.session_key}")
    assert "who" not in SessionStore(two.session_key)
    _clients.cache_clear()
