"""The channel layer within one process: for the demo, development and tests."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from channelcelery.broker.publisher import KombuPublisher
from channelcelery.conf import LayerConfig
from channelcelery.core.bursts import Bursts
from channelcelery.core.delivery import Tally, plan, tally
from channelcelery.core.inbox import Entry, decode_entry
from channelcelery.core.names import ReplyAddress, is_reply_channel, reply_address
from channelcelery.core.reply_state import Fields, ReplyState
from channelcelery.core.sends import GroupSend, ReplySend
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers.attempts import MemoryAttemptStore
from channelcelery.layers.base import Delivered, NodeStatus, Orphan
from channelcelery.layers.inbox import Beat
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.memory_delays import MemoryDelayStore
from channelcelery.layers.memory_order import MemoryOrderStore
from channelcelery.layers.memory_pieces import MemoryInterfacePieces, MemoryWorkerPieces

__all__ = ["InMemoryChannelLayer", "MemoryInbox", "MemoryReplyStore"]

logger = logging.getLogger("django.channels.layer")

#: Entries that one read returns at most.
_COUNT = 500


class MemoryReplyStore:
    """A `ReplyStore` in this process; safe to share between threads.

    Args:
        config: the layer's settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        self.state = ReplyState(config.inbox_capacity, config.inbox_bytes, config.node_expiry)
        self.lock = threading.Lock()
        #: memberships that were not written since the interface process was dead: "join_node_gone"
        self.dropped: Counter[str] = Counter()
        self._waiting: dict[str, Callable[[], None]] = {}

    def deliver(self, sends: Sequence[ReplySend | GroupSend]) -> Delivered:
        """Put replies and group sends into the inboxes; see `ReplyStore.deliver`."""
        with self.lock:
            total = self._deliver(sends)
            if total.again:
                total += self._deliver(total.again, force=True)
            self._wake()
        return Delivered(total.full, total.dropped, total.forward)

    def _deliver(self, sends: Sequence[ReplySend | GroupSend], *, force: bool = False) -> Tally:
        operations = plan(sends)
        return tally(zip(operations, self.state.deliver(operations, time.monotonic(), force=force), strict=True))

    def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member; see `ReplyStore.group_add`."""
        with self.lock:
            if not is_reply_channel(channel):
                self.state.add_queue(group, channel)
                return
            address = reply_address(channel)
            if not self.state.join(group, address.node, address.token, time.monotonic()):
                self.dropped["join_node_gone"] += 1
                logger.debug("%s was not added to %s: its interface process is dead", channel, group)
            self._wake()

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership; see `ReplyStore.group_discard`."""
        with self.lock:
            if not is_reply_channel(channel):
                self.state.discard_queue(group, channel)
                return
            address = reply_address(channel)
            self.state.leave(group, address.node, address.token, time.monotonic())
            self._wake()

    def group_channels(self, group: str) -> list[str]:
        """Return the members' names, in no order."""
        with self.lock:
            queues, nodes = self.state.members(group, time.monotonic())
        return [*queues, *(ReplyAddress(node, token).channel() for node, tokens in nodes.items() for token in tokens)]

    def reap(self) -> list[Orphan]:
        """Clear what is known of interface processes that died; see `ReplyStore.reap`."""
        with self.lock:
            dead = self.state.reap(time.monotonic())
        found = ((node, token, path) for node, channels in dead.items() for token, path in channels.items())
        return [Orphan(ReplyAddress(node, token), path) for node, token, path in found]

    def status(self, node: str = "") -> list[NodeStatus]:
        """Tell how interface processes are; see `ReplyStore.status`."""
        with self.lock:
            found = self.state.status(time.monotonic(), [node] if node else None)
        return [NodeStatus(*each, lag=0.0) for each in found]

    def check_fingerprint(self, value: str) -> None:
        """Do nothing: there is no other process that could differ."""

    def flush(self) -> None:
        """Delete every inbox entry and group of this layer (item 50)."""
        with self.lock:
            self.state.flush()

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def is_alive(self, node: str) -> bool:
        """Tell whether an interface process gave a sign of life in time."""
        with self.lock:
            return self.state.is_alive(node, time.monotonic())

    # for the inboxes

    def take(self, node: str, wake: Callable[[], None]) -> Sequence[Fields]:
        """Take entries out of an inbox; where there are none, have `wake` called once when there are."""
        with self.lock:
            taken = self.state.take(node, _COUNT)
            if not taken:
                self._waiting[node] = wake
            return taken

    def _wake(self) -> None:
        for node in [node for node in self._waiting if self.state.has_unread(node)]:
            self._waiting.pop(node)()

    def stop_waiting(self, node: str) -> None:
        """Forget the `wake` of a node that reads no more."""
        with self.lock:
            self._waiting.pop(node, None)


class MemoryInbox:
    """An `Inbox` in this process, for one event loop.

    Args:
        store: the senders' side.
        node: the interface process's name.
        closed: told the tokens of connections that ended.
    """

    def __init__(
        self, store: MemoryReplyStore, node: str, closed: Callable[[Collection[str]], None] = lambda tokens: None
    ) -> None:
        self.node = node
        self._closed = closed
        #: how many unreadable entries were skipped
        self.skipped = 0
        self._store = store
        self._bursts = Bursts()
        self._lost = False

    async def open(self) -> None:
        """Make the node known and alive."""
        with self._store.lock:
            self._store.state.refresh(self.node, time.monotonic())

    async def read(self) -> Sequence[Entry]:
        """Wait for entries and return them in order; see `Inbox.read`."""
        loop, there = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # RuntimeError: the loop is closed, and with it whoever waited
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(there.set)

        taken = self._store.take(self.node, wake)
        if not taken:
            with suppress(TimeoutError):
                await asyncio.wait_for(there.wait(), 1.0)
            taken = self._store.take(self.node, wake)
        return [entry for fields in taken if (entry := self._decode(fields)) is not None]

    def _decode(self, fields: Fields) -> Entry | None:
        try:
            return decode_entry(fields)
        except InvalidEnvelope as error:
            self.skipped += 1
            if (silent := self._bursts.hit("unreadable", time.monotonic())) is not None:
                logger.warning("an unreadable inbox entry was skipped, %d before it unlogged: %s", silent, error)
            return None

    async def beat(self) -> Beat:
        """Give a sign of life; see `Inbox.beat`. LOST is repeated until a `rebuild` has begun."""
        with self._store.lock:
            state, now = self._store.state, time.monotonic()
            if state.is_buried(self.node):
                return Beat.DEAD
            self._lost = self._lost or not state.is_alive(self.node, now)
            state.refresh(self.node, now)
        return Beat.LOST if self._lost else Beat.ALIVE

    async def record(
        self, opened: Mapping[str, str], closed: Collection[str], left: Collection[tuple[str, str]]
    ) -> None:
        """Write what changed among the node's connections; see `Inbox.record`."""
        with self._store.lock:
            self._store.state.record(self.node, time.monotonic(), opened, closed, left)
        self._closed(closed)

    async def rebuild(self, channels: Mapping[str, str], groups: Mapping[str, Collection[str]]) -> None:
        """Write everything again; see `Inbox.rebuild`."""
        joined = [(group, token) for group, tokens in groups.items() for token in tokens]
        with self._store.lock:
            self._store.state.record(self.node, time.monotonic(), channels, (), (), joined, fresh=True)
        self._lost = False

    async def close(self) -> None:
        """Remove all that is known of this node."""
        self._store.stop_waiting(self.node)
        with self._store.lock:
            self._store.state.clear(self.node)


class InMemoryChannelLayer(ChannelLayer):
    """A layer within one process: its replies and groups are in memory, and so should its broker be.

    Args:
        config: its settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        store = MemoryReplyStore(config)
        delays = MemoryDelayStore(config.delay_capacity)
        order = MemoryOrderStore(config.order_stall)
        publisher = KombuPublisher(config)
        pieces = MemoryWorkerPieces(config.expiry, store.is_alive)
        super().__init__(
            config,
            store,
            publisher,
            delays,
            order,
            MemoryAttemptStore(),
            pieces,
            lambda node: MemoryInbox(store, node, order.forget),
            lambda node: MemoryInterfacePieces(pieces),
        )
