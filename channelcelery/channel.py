"""`Channel` and `Group`: where a message goes, and the sends that a running consumer holds back (items 27 to 41)."""

from asyncio import get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.core.names import check_channel_name, check_group_name
from channelcelery.core.sends import ReliableSend, Send
from channelcelery.core.websocket import answers
from channelcelery.exceptions import ChannelFull
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer

__all__ = ["Channel", "CollectedSends", "Group", "collect_sends", "send_at_once"]


@dataclass(slots=True)
class CollectedSends:
    """What a consumer wants sent once it has ended, in the order of its calls.

    Args:
        sends: (layer, send) pairs that wait.
        answered: reply channels that what answers a handshake was sent to, at once or later.
        of_handshake: whether anybody asks what was answered.
    """

    sends: list[tuple[ChannelLayer, Send]] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    of_handshake: bool = True


# A context variable, since the public API is `Channel(name).send(…)` with nowhere to pass a collector: it follows
# an async consumer into its threads and back, which a thread-local would not.
_collected: ContextVar[CollectedSends | None] = ContextVar("channelcelery_collected_sends", default=None)


@contextmanager
def collect_sends(of_handshake: bool = True) -> Iterator[CollectedSends]:
    """Hold back every send inside the block, for the caller to flush after it (item 36).

    Args:
        of_handshake: note what answers a handshake.
    """
    collected = CollectedSends(of_handshake=of_handshake)
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


@contextmanager
def send_at_once() -> Iterator[None]:
    """Hold back nothing inside the block: it runs for a consumer that has ended already."""
    token = _collected.set(None)
    try:
        yield
    finally:
        _collected.reset(token)


def _dispatch(layer: ChannelLayer, send: Send, immediately: bool) -> tuple[str, ...]:
    collected = _collected.get()
    # what is for the outbox belongs to the transaction of the call; on an event loop there is none, and no database
    written = isinstance(send, ReliableSend) and send.outbox and not _on_a_loop()
    if collected is None or immediately or written:
        return layer.flush_sends([send])
    collected.sends.append((layer, send))
    return ()


def _on_a_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


class Channel:
    """A named channel that messages can be sent to.

    Args:
        name: text, or ASCII bytes; items 17 to 21 have the rules.
        alias: the layer's alias in CHANNEL_LAYERS.
        channel_layer: a layer, which then counts rather than the alias.

    Raises:
        InvalidName: the name breaks the rules.
    """

    def __init__(
        self, name: str | bytes, alias: str = DEFAULT_CHANNEL_LAYER, channel_layer: ChannelLayer | None = None
    ) -> None:
        self.name = check_channel_name(name)
        self.channel_layer = channel_layer if channel_layer is not None else channel_layers[alias]

    def send(
        self,
        content: dict[str, object],
        immediately: bool = False,
        delay: float | None = None,
        *,
        using: str | None = None,
    ) -> str | None:
        """Send a message: at once outside a consumer, else when the consumer has ended.

        To a reliable channel it returns when the broker keeps the message; inside a consumer that is before any reply
        leaves, and if the broker does not keep it the consumer has failed. With an outbox it is written to the database
        at the call, in the transaction that is under way, and leaves if that is committed.

        Args:
            content: the message; it is encoded now, so that later changes do not count.
            immediately: send now, inside a consumer too.
            delay: milliseconds to wait before it is sent; never less, and about 0.1 s more at most, or 1 s on a
                reliable channel of RabbitMQ.

        Returns:
            The message's id, on a reliable channel: its consumer sees it as `message.id`. Else None.

        Raises:
            InvalidContent: it is no message.
            MessageTooLarge: it is above the layer's limit.
            ChannelFull: sent at once, and the channel is at capacity.
            BrokerUnavailable: sent at once, and the broker did not take it.
            LayerUnavailable: sent at once, and Redis did not take it.
            DatabaseError, InterfaceError: it is for the outbox, and the database did not take it.
            SynchronousOnlyOperation: likewise, and this is an event loop: use `sync_to_async`.
        """
        send: Send
        if delay is not None:
            send = self.channel_layer.prepare_delayed(self.name, content, delay)
        else:
            send = self.channel_layer.prepare(self.name, content)
        if using is not None and isinstance(send, ReliableSend):
            send = replace(send, using=using)
        collected = _collected.get()
        if collected is not None and collected.of_handshake and delay is None and "!" in self.name and answers(content):
            collected.answered.add(self.name)
        if full := _dispatch(self.channel_layer, send, immediately):
            raise ChannelFull(full)
        return send.id if isinstance(send, ReliableSend) else None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Channel({self.name!r}, channel_layer={self.channel_layer})"


class Group:
    """A named set of channels; what is sent to it reaches every member.

    Args:
        name: text, or ASCII bytes; items 19 to 21 have the rules.
        alias: the layer's alias in CHANNEL_LAYERS.
        channel_layer: a layer, which then counts rather than the alias.

    Raises:
        InvalidName: the name breaks the rules.
    """

    def __init__(
        self, name: str | bytes, alias: str = DEFAULT_CHANNEL_LAYER, channel_layer: ChannelLayer | None = None
    ) -> None:
        self.name = check_group_name(name)
        self.channel_layer = channel_layer if channel_layer is not None else channel_layers[alias]

    def add(self, channel: Channel | str) -> None:
        """Make a channel a member, at once; adding twice changes nothing (item 29).

        Raises:
            LayerUnavailable: Redis did not take it.
        """
        self.channel_layer.group_add(self.name, _name(channel))

    def discard(self, channel: Channel | str) -> None:
        """End a membership, at once; a channel that is no member changes nothing (item 29).

        Raises:
            LayerUnavailable: Redis did not take it.
        """
        self.channel_layer.group_discard(self.name, _name(channel))

    def channels(self) -> list[str]:
        """Return the members' names, in no order."""
        return self.channel_layer.group_channels(self.name)

    def send(self, content: dict[str, object], immediately: bool = False) -> None:
        """Send to every member: at once outside a consumer, else when the consumer has ended.

        Members at capacity are skipped and counted, never an error (item 31).

        Args:
            content: the message; it is encoded now, once for all members.
            immediately: send now, inside a consumer too.

        Raises:
            InvalidContent: it is no message.
            MessageTooLarge: it is above the layer's limit.
            LayerUnavailable: sent at once, and Redis did not take it.
        """
        _dispatch(self.channel_layer, self.channel_layer.prepare_group(self.name, content), immediately)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Group({self.name!r}, channel_layer={self.channel_layer})"


def _name(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else channel
