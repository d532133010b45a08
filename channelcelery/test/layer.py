"""The channel layer of a test: in memory, without a broker, its channels read by the test itself."""

import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import Item, decode_item
from channelcelery.core.inbox import Entry, GroupEntry, JoinEntry, LeaveEntry, RepliesEntry, decode_entry
from channelcelery.core.names import ReplyAddress, check_channel_name, is_body_channel, is_reply_channel, reply_address
from channelcelery.exceptions import ChannelFull, InvalidName
from channelcelery.layers import channel_layers
from channelcelery.layers.memory import InMemoryChannelLayer, MemoryReplyStore
from channelcelery.layers.memory_pieces import MemoryWorkerPieces
from channelcelery.layers.pieces import MAX_PIECES
from channelcelery.layers.upkeep import send_due
from channelcelery.message import Message
from channelcelery.routes import Match
from channelcelery.routing import Router, get_router, make_router, replaced_router
from channelcelery.test.turns import Turns

__all__ = ["NODE", "Queues", "ReadAtOnce", "ReadableLayer", "make_readable_layer"]

#: The interface process whose connections the clients of a test are.
NODE = "test-client"
#: Seconds: however long a test stands still in a debugger, its connections are alive.
_NEVER = 1e9


class Queues:
    """A `Publisher` that keeps messages in this process, exactly bounded; safe to share between threads.

    Args:
        config: the layer's settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._config = config
        self._queues: dict[str, deque[bytes]] = {}
        self._lock = threading.Lock()

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        """Keep messages; see `Publisher.publish`."""
        with self._lock:
            if len(self._queues.get(channel, ())) + len(items) > self._config.capacity_of(channel):
                raise ChannelFull([channel])
            self._queues.setdefault(channel, deque()).extend(items)

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        """Keep messages whatever the capacity; see `Publisher.put_back`."""
        with self._lock:
            self._queues.setdefault(channel, deque()).extend(items)

    def take(self, channel: str) -> bytes | None:
        """Return the oldest message of a channel, or None."""
        with self._lock:
            waiting = self._queues.get(channel)
            return waiting.popleft() if waiting else None

    def depth(self, channel: str) -> int:
        """Return how many messages wait on a channel."""
        return len(self._queues.get(channel, ()))

    def purge(self, channel: str) -> None:
        """Drop what waits on a channel."""
        with self._lock:
            self._queues.pop(channel, None)

    def purge_all(self) -> None:
        """Drop what waits on any channel."""
        with self._lock:
            self._queues.clear()

    def close(self) -> None:
        """Do nothing: there is no connection."""


class ReadAtOnce(MemoryWorkerPieces):
    """The pieces of HTTP bodies where a test reads responses when their consumer has ended, and so holds up none."""

    def take_credits(self, address: ReplyAddress, timeout: float) -> int:
        """Give leave to send more, always; see `WorkerPieces.take_credits`."""
        return MAX_PIECES


class ReadableLayer(InMemoryChannelLayer):
    """A layer whose normal channels and replies a test reads; all else is the in-memory layer.

    Its replies and groups travel through the inbox of one interface process, in order, as everywhere.

    Args:
        config: its settings.
    """

    replies: MemoryReplyStore

    def __init__(self, config: LayerConfig) -> None:
        super().__init__(config)
        self.queues = Queues(config)
        self.publisher = self.queues
        self.pieces = ReadAtOnce(config.expiry, self.replies.is_alive)
        self.turns = Turns()
        self._members: dict[str, set[str]] = {}
        self._received: dict[str, deque[dict[str, Any]]] = {}
        self._router: Router | None = None
        with self.replies.lock:
            self.replies.state.refresh(NODE, time.monotonic())

    @property
    def routing(self) -> Any:
        """The layer's ROUTING as the settings have it (item 45)."""
        return self.config.routing

    @property
    def router(self) -> Router:
        """Who gets a message: what `apply_routes` says, or the project's routing (items 45 and 216).

        Unlike a worker's it has no defaults for sockets: a test should hear that no route matches.
        """
        if (applied := replaced_router(self.alias)) is not None:
            return applied
        if self._router is None:
            self._router = make_router(self.alias)
        return self._router

    def match(self, message: Message) -> Match | None:
        """Return the consumer of a message and its keyword arguments, or None.

        Requests that no route is for go to the views, as in a worker, unless `apply_routes` says who gets what.
        """
        found = self.router.match(message)
        if found is None and message.channel.name.startswith("http.") and replaced_router(self.alias) is None:
            return get_router(self.alias).match(message)
        return found

    def next_item(self, channel: str) -> Item | None:
        """Return the next message of a normal channel, delayed ones that are due included; expired ones are dropped."""
        send_due(self)
        while (packed := self.queues.take(channel)) is not None:
            item = decode_item(packed)
            if item.deadline >= time.time() * 1000:
                return item
        return None

    def next_reply(self, channel: str) -> dict[str, Any] | None:
        """Return the next message of a reply channel that a `Client` has."""
        send_due(self)
        for fields in self.replies.take(NODE, _nobody_waits):
            self._sort_in(decode_entry(fields))
        address = reply_address(channel)
        if address.node != NODE:
            raise InvalidName("reply channel", channel, "only those of this test's own clients can be read")
        waiting = self._received.get(address.token)
        return waiting.popleft() if waiting else None

    def _sort_in(self, entry: Entry) -> None:
        match entry:
            case RepliesEntry(replies):
                for token, content in replies:
                    self._received.setdefault(token, deque()).append(content)
            case GroupEntry(group, content):
                for token in self._members.get(group, ()):
                    self._received.setdefault(token, deque()).append(dict(content))
            case JoinEntry(group, token):
                self._members.setdefault(group, set()).add(token)
            case LeaveEntry(group, token):
                self._members.get(group, set()).discard(token)

    def receive(self, channels: Collection[str], block: bool = False) -> tuple[str, dict[str, Any]] | tuple[None, None]:
        """Return the next message of the first channel that has one, with its name, or (None, None) (item 49).

        Args:
            channels: names of normal channels, of channels for bodies, or reply channels of this test's clients.
            block: accepted as in Channels 1.x; there is nobody to wait for.
        """
        for channel in map(check_channel_name, channels):
            if is_body_channel(channel):
                content = self.take_piece(channel, 0)
            elif is_reply_channel(channel):
                content = self.next_reply(channel)
            else:
                item = self.next_item(channel)
                content = None if item is None else item.content
            if content is not None:
                return channel, content
        return None, None

    #: The name of `receive` before Channels 1.0.
    receive_many = receive

    def flush(self) -> None:
        """Leave no message and no group (item 50)."""
        self.queues.purge_all()
        self.replies.flush()
        self._members.clear()
        self.turns = Turns()
        self._received.clear()


def _nobody_waits() -> None:
    """Do nothing: a test reads when it wants to."""


def make_readable_layer(alias: str) -> ReadableLayer:
    """Make a test's layer of an alias, with its TEST_CONFIG, or its CONFIG if there is none.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.

    Raises:
        KeyError: CHANNEL_LAYERS has no such alias.
        InvalidChannelLayerError: its entry is wrong.
    """
    config = (
        channel_layers.test_config(alias) if channel_layers.has_test_config(alias) else channel_layers.config(alias)
    )
    return ReadableLayer(replace(config, kind="memory", node_expiry=_NEVER))
