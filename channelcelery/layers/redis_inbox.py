"""An interface process's side of the Redis layer: its heartbeat, and what it says of its connections."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.delivery import host_of
from channelcelery.core.inbox import Entry
from channelcelery.layers.inbox import Beat
from channelcelery.layers.redis_clients import async_client, reaching_redis, refuse_cluster, script
from channelcelery.layers.redis_reader import InboxReader
from channelcelery.layers.redis_store import CLEARED_GROUPS, FINGERPRINT_EXPIRY, TOMBSTONE_EXPIRY

__all__ = ["RedisInbox"]

#: Connections or memberships that one script call takes, below 2 ms of Redis's time.
_CHUNK = 500

Pair = tuple[str, str]


class RedisInbox:
    """An `Inbox` on Redis, for one event loop.

    Args:
        config: the layer's settings.
        node: the interface process's name.
        fingerprint: gives the layer's fingerprint for the heartbeat to renew, or "".
    """

    def __init__(self, config: LayerConfig, node: str, fingerprint: Callable[[], str] = lambda: "") -> None:
        self.node = node
        self._config = config
        self._fingerprint = fingerprint
        url = config.hosts[host_of(node, len(config.hosts))]
        self._client = async_client(config, url)
        self._reader = InboxReader(config, url, node)
        self._scripts: dict[str, Any] = {}
        self._epoch = self._run_id = b""
        self._lost = False
        # what is said of connections is said in order: a close must not overtake the rebuild that still has them
        self._recording = asyncio.Lock()

    async def _run(self, name: str, *arguments: Any) -> Any:
        with reaching_redis():
            if name not in self._scripts:
                self._scripts[name] = self._client.register_script(script(name))
            return await self._scripts[name](args=(self._config.prefix, self.node, *arguments))

    async def open(self) -> None:
        """Make the node known and alive; see `Inbox.open`.

        Raises:
            InvalidChannelLayerError: the Redis is a cluster.
        """
        with reaching_redis():
            refuse_cluster(self._config, await self._client.info("cluster"))
        await self._enter()

    async def _enter(self) -> bool:
        known = await self._run("open", self._expiry(), secrets.token_hex(16))
        if known:
            self._epoch, self._run_id = known
        return bool(known)

    def _expiry(self) -> int:
        return int(self._config.node_expiry * 1000)

    async def read(self) -> Sequence[Entry]:
        """Wait for entries and return them in order; see `Inbox.read`."""
        return await self._reader.read()

    @property
    def skipped(self) -> int:
        """How many unreadable entries were skipped."""
        return self._reader.skipped

    async def beat(self) -> Beat:
        """Give a sign of life; see `Inbox.beat`. LOST is repeated until a `rebuild` has begun."""
        position = self._reader.position
        answer = await self._run(
            "beat", self._expiry(), self._epoch, self._run_id, position, self._fingerprint(), FINGERPRINT_EXPIRY
        )
        if answer != b"alive":
            self._lost = True
            # an entry read since the question was asked proves that the inbox goes on behind it
            if answer == b"emptied" or (answer == b"behind" and self._reader.position == position):
                self._reader.restart()
            if not await self._enter():
                return Beat.DEAD
        return Beat.LOST if self._lost else Beat.ALIVE

    async def record(self, opened: Mapping[str, str], closed: Collection[str], left: Collection[Pair]) -> None:
        """Write what changed among the node's connections; see `Inbox.record`.

        Raises:
            LayerUnavailable: Redis did not answer; it may be called again with the same.
        """
        async with self._recording:
            await self._record(opened.items(), closed, left, ())

    async def rebuild(self, channels: Mapping[str, str], groups: Mapping[str, Collection[str]]) -> None:
        """Write everything again; see `Inbox.rebuild`. Memberships are only added, since others may have joined.

        Raises:
            LayerUnavailable: Redis did not answer; the next `beat` asks for it again.
        """
        # copied before the first await: the caller's may change during the others
        opened = list(channels.items())
        joined = [(group, token) for group, tokens in groups.items() for token in tokens]
        self._lost = False
        try:
            async with self._recording:
                await self._record(opened, (), (), joined, fresh=True)
        except BaseException:
            self._lost = True
            raise

    async def _record(
        self,
        opened: Iterable[Pair],
        closed: Iterable[str],
        left: Iterable[Pair],
        joined: Iterable[Pair],
        *,
        fresh: bool = False,
    ) -> None:
        chunks = _chunks(opened, ((token,) for token in closed), left, joined)
        for counts, items in chunks:
            await self._run("record", int(fresh), *counts, *items)
            fresh = False

    async def close(self) -> None:
        """Remove every key of this node and end the connections; see `Inbox.close`.

        Raises:
            LayerUnavailable: Redis did not answer; others will take this node for dead and clear its keys.
        """
        try:
            async with self._recording:
                while (await self._run("clear", self._expiry(), TOMBSTONE_EXPIRY, CLEARED_GROUPS))[1]:
                    pass
        finally:
            await self._reader.close()
            await self._client.aclose()


def _chunks(*sections: Iterable[tuple[str, ...]]) -> Iterator[tuple[list[int], list[str]]]:
    """Cut sections into script calls: how many of each section, and the items in a row. There is at least one."""
    waiting = [iter(section) for section in sections]
    first = True
    while True:
        counts, items, room = [], [], _CHUNK
        for section in waiting:
            some = list(islice(section, room))
            room -= len(some)
            counts.append(len(some))
            items += [part for item in some for part in item]
        if not (first or items):
            return
        first = False
        yield counts, items
