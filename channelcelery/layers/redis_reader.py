"""Reading an inbox's stream: the hot path of an interface process.

It has a connection of its own and reads raw answers: parsing XREAD's answer in Python took twice as long as all else.
What was read is trimmed in the same round trip as the next read.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.bursts import Bursts
from channelcelery.core.inbox import Entry, decode_entry
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers.redis_clients import reaching_redis, reader_connection, script
from channelcelery.layers.seals import seal_of

__all__ = ["InboxReader"]

logger = logging.getLogger("django.channels.interface")

_START = "0-0"
#: Entries that one read returns at most; fewer where the last ones were large, so that about so many bytes come.
_COUNT, _BYTES = 500, 1024 * 1024
#: Milliseconds that Redis waits for entries; the shorter while something is to be trimmed.
_BLOCK, _BLOCK_TRIM = 1000, 50
#: Seconds, or entries, after which what was read is trimmed.
_TRIM_SECONDS, _TRIM_ENTRIES = 0.05, 1000


class InboxReader:
    """Reads one node's inbox in order.

    Args:
        config: the layer's settings.
        url: the Redis that holds the inbox.
        node: whose inbox it is.
    """

    def __init__(self, config: LayerConfig, url: str, node: str) -> None:
        self._config, self._node = config, node
        self._seal = seal_of(config)
        self._key = f"{config.prefix}inbox:{node}"
        self._connection: Any = reader_connection(config, url)
        #: how many unreadable entries were skipped
        self.skipped = 0
        self._bursts = Bursts()
        self._generation = 0
        self._count = _COUNT
        self._trimmed_at = float("-inf")
        self.restart()

    def restart(self) -> None:
        """Read the stream from its beginning: it is another one now. A read that is under way brings nothing."""
        self._generation += 1
        #: the id of the last entry that was read
        self.position = _START
        self._untrimmed = self._untrimmed_bytes = 0

    async def read(self) -> Sequence[Entry]:
        """Wait for entries and return them; empty after a second without any.

        Raises:
            LayerUnavailable: the connection broke; nothing that was not returned is skipped.
        """
        while True:
            generation = self._generation
            trim = self._is_trim_due()
            patient = trim or not self._untrimmed
            found = await self._ask(_BLOCK if patient else _BLOCK_TRIM, trim)
            if generation != self._generation:
                continue
            if found:
                return self._take(found[0][1])
            if patient:
                return ()

    def _is_trim_due(self) -> bool:
        if not self._untrimmed:
            return False
        return self._untrimmed >= _TRIM_ENTRIES or time.monotonic() - self._trimmed_at >= _TRIM_SECONDS

    async def _ask(self, block: int, trim: bool) -> Any:
        connection = self._connection
        commands: list[tuple[Any, ...]] = []
        trimmed = (self._generation, self._untrimmed, self._untrimmed_bytes)
        if trim:
            milliseconds, _, sequence = self.position.partition("-")
            kept = f"{milliseconds}-{int(sequence) + 1}"
            # EVAL: the script is short, and EVALSHA could fail in the middle of what is under way
            commands.append(("EVAL", script("trim"), 0, self._config.prefix, self._node, kept, self._untrimmed_bytes))
        commands.append(("XREAD", "COUNT", self._count, "BLOCK", block, "STREAMS", self._key, self.position))
        with reaching_redis():
            try:
                if not connection.is_connected:
                    # reads bring their own time limit, a handshake does not
                    async with asyncio.timeout(self._config.publish_timeout):
                        await connection.connect()
                await connection.send_packed_command(connection.pack_commands(commands))
                # not by its argument `timeout`, under which no answer and an empty one are both None
                async with asyncio.timeout(block / 1000 + self._config.publish_timeout):
                    if trim:
                        await connection.read_response()
                        self._trimmed(*trimmed)
                    return await connection.read_response(disable_decoding=True)
            except BaseException:
                # the answers of a broken round trip must not be taken for those of the next
                await connection.disconnect(nowait=True)
                raise

    def _trimmed(self, generation: int, entries: int, size: int) -> None:
        if generation == self._generation:
            self._untrimmed -= entries
            self._untrimmed_bytes -= size
            self._trimmed_at = time.monotonic()

    def _take(self, raw: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Entry]:
        entries: list[Entry] = []
        size, now = 0, int(time.time() * 1000)
        for _, fields in raw:
            values = fields[1::2]
            size += sum(map(len, values))
            try:
                named = dict(zip(fields[::2], values, strict=True))
                entries.append(decode_entry(named, self._node, self._seal, now))
            except InvalidEnvelope as error:
                self._skip(error)
        self._untrimmed += len(raw)
        self._untrimmed_bytes += size
        self._count = min(max(_BYTES * len(raw) // max(size, 1), 1), _COUNT)
        self.position = raw[-1][0].decode("ascii")
        return entries

    def _skip(self, error: InvalidEnvelope) -> None:
        self.skipped += 1
        if (silent := self._bursts.hit("unreadable", time.monotonic())) is not None:
            logger.warning("an unreadable inbox entry was skipped, %d before it unlogged: %s", silent, error)

    async def close(self) -> None:
        """End the connection."""
        await self._connection.disconnect()
