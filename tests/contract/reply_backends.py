"""The two kinds of replies and groups behind one face, for suites that run over both."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis

from channelcelery.conf import LayerConfig, layer_config
from channelcelery.core.envelope import encode_content
from channelcelery.core.inbox import Entry, GroupEntry, JoinEntry, LeaveEntry, RepliesEntry
from channelcelery.core.sends import GroupSend, ReplySend
from channelcelery.layers.base import ReplyStore
from channelcelery.layers.inbox import Inbox
from channelcelery.layers.memory import MemoryInbox, MemoryReplyStore
from channelcelery.layers.redis_inbox import RedisInbox
from channelcelery.layers.redis_store import RedisReplyStore

BACKENDS = {
    "memory": "channelcelery.layers.InMemoryChannelLayer",
    "redis": "channelcelery.layers.RedisChannelLayer",
}
PREFIX = "test:"
LIMIT = 10**7
TOKEN = "t"


class Backend(Protocol):
    """What a test may do to a layer's store beside using it."""

    store: ReplyStore

    def inbox(self, node: str) -> Inbox:
        """Make the inbox of an interface process."""

    def lose(self) -> None:
        """Lose everything, as Redis does when it is emptied."""

    def kill(self, node: str) -> None:
        """Let a node have given no sign of life for too long."""

    def put_raw(self, node: str, fields: dict[bytes, bytes]) -> None:
        """Put something into an inbox that no sender of ours wrote."""

    def remains(self) -> Any:
        """What is there: empty where nothing is."""

    def close(self) -> None:
        """End connections."""


@dataclass
class MemoryBackend:
    """Replies and groups in this process."""

    config: LayerConfig
    store: MemoryReplyStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryReplyStore(self.config)

    def inbox(self, node: str) -> MemoryInbox:
        return MemoryInbox(self.store, node)

    def lose(self) -> None:
        self.store.state.forget()

    def kill(self, node: str) -> None:
        self.store.state.refresh(node, float("-inf"))

    def put_raw(self, node: str, fields: dict[bytes, bytes]) -> None:
        self.store.state.put(node, fields)

    def remains(self) -> Any:
        state = self.store.state
        return [*state._nodes, *state._members, *state._queues]

    def close(self) -> None:
        self.store.close()


@dataclass
class RedisBackend:
    """Replies and groups on a Redis."""

    config: LayerConfig
    store: RedisReplyStore = field(init=False)
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.store = RedisReplyStore(self.config)
        self.client = redis.Redis.from_url(self.config.hosts[0])

    def inbox(self, node: str) -> RedisInbox:
        return RedisInbox(self.config, node, lambda: self.store.fingerprint)

    def lose(self) -> None:
        self.client.flushdb()

    def kill(self, node: str) -> None:
        self.client.delete(f"{PREFIX}node:{node}")
        if self.client.zscore(f"{PREFIX}nodes", node) is not None:
            self.client.zadd(f"{PREFIX}nodes", {node: 0})

    def put_raw(self, node: str, fields: dict[bytes, bytes]) -> None:
        self.client.xadd(f"{PREFIX}inbox:{node}", fields)

    def remains(self) -> list[str]:
        return sorted({key.decode() for key in self.client.keys("*")} - {f"{PREFIX}epoch"})

    def close(self) -> None:
        self.client.close()
        self.store.close()


def config_of(kind: str, **values: Any) -> LayerConfig:
    """Return settings of a layer; `values` are keys of its CONFIG."""
    return layer_config("default", {"BACKEND": BACKENDS[kind], "CONFIG": {"prefix": PREFIX, **values}})


# what tests send


def channel(node: str, token: str = TOKEN) -> str:
    """A reply channel's name."""
    return f"websocket.send!{node}.{token}"


def reply(node: str, content: Any = "hello", *, token: str = TOKEN, control: bool = False) -> ReplySend:
    """A reply; a content that is no dict is put into one."""
    content = content if isinstance(content, dict) else {"text": content}
    return ReplySend(channel(node, token), node, token, encode_content(content, LIMIT), control)


def group_send(name: str, content: Any = "hello") -> GroupSend:
    """A group send, likewise."""
    content = content if isinstance(content, dict) else {"text": content}
    return GroupSend(name, encode_content(content, LIMIT))


# what tests see


def flat(entries: Iterable[Entry]) -> list[tuple[Any, ...]]:
    """Entries as short tuples, replies one by one."""
    seen: list[tuple[Any, ...]] = []
    for entry in entries:
        match entry:
            case RepliesEntry(replies):
                seen += [("reply", token, content.get("text")) for token, content in replies]
            case GroupEntry(group, content):
                seen.append(("group", group, content.get("text")))
            case JoinEntry(group, token):
                seen.append(("join", group, token))
            case LeaveEntry(group, token):
                seen.append(("leave", group, token))
    return seen


async def read(inbox: Inbox, count: int, *, timeout: float = 15) -> list[Entry]:
    """Read entries until there are `count`."""
    entries: list[Entry] = []
    async with asyncio.timeout(timeout):
        while len(entries) < count:
            entries += await inbox.read()
    return entries


async def read_all(inbox: Inbox, store: ReplyStore) -> list[tuple[Any, ...]]:
    """Read what waits in an inbox, to the end: a mark is sent, and all before it returned."""
    store.deliver([reply(inbox.node, "the end", token="mark", control=True)])
    seen: list[tuple[Any, ...]] = []
    async with asyncio.timeout(15):
        while ("reply", "mark", "the end") not in seen:
            seen += flat(await inbox.read())
    assert seen.pop() == ("reply", "mark", "the end")
    return seen


async def until(ask: Callable[[], Awaitable[Any]], *, timeout: float = 15) -> Any:
    """Ask until the answer is true, and return it."""
    async with asyncio.timeout(timeout):
        while not (answer := await ask()):
            await asyncio.sleep(0.01)
    return answer


async def open_all(*inboxes: Inbox) -> None:
    """Open inboxes."""
    for inbox in inboxes:
        await inbox.open()


async def close_all(inboxes: Sequence[Inbox]) -> None:
    """Close inboxes."""
    for inbox in inboxes:
        await inbox.close()
