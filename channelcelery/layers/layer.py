"""A channel layer: both halves behind the API that Channels 1.x gave its layers (items 45, 49, 50)."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from uuid import uuid4

from channelcelery.broker.connection import broker_identity
from channelcelery.conf import LayerConfig
from channelcelery.core.delays import check_delay
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.names import (
    body_address,
    check_channel_name,
    check_group_name,
    is_body_channel,
    is_reply_channel,
    reply_address,
)
from channelcelery.core.sends import BodySend, ChannelSend, DelayedSend, GroupSend, ReliableSend, ReplySend, Send
from channelcelery.exceptions import BrokerUnavailable, ChannelFull, LayerUnavailable, MessageTooLarge
from channelcelery.layers.attempts import AttemptStore
from channelcelery.layers.base import DelayStore, Delivered, Publisher, ReliablePublisher, ReplyStore
from channelcelery.layers.classic import ClassicApi
from channelcelery.layers.inbox import Inbox
from channelcelery.layers.order import OrderStore
from channelcelery.layers.pieces import InterfacePieces, WorkerPieces
from channelcelery.layers.routers import reliable_channels_of
from channelcelery.tracing import sent

__all__ = ["ChannelLayer"]

logger = logging.getLogger("django.channels.layer")

#: Replies with one of these keys pass a full inbox: what begins or ends a connection, or lets it go on.
_CONTROLS = frozenset({"accept", "close", "closed", "send_body"})


class ChannelLayer(ClassicApi):
    """One alias of CHANNEL_LAYERS, ready to send.

    Args:
        config: its settings.
        replies: the half that holds reply channels and groups.
        publisher: the half that holds normal channels.
        delays: where messages for either half wait until they are due.
        order: where the order of a connection's messages is kept.
        attempts: where the runs of reliable messages are counted.
        pieces: where HTTP bodies travel that do not fit one message.
        make_inbox: makes the inbox of one interface process from a node's name.
        make_pieces: makes that process's side of `pieces`, likewise.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge
    extensions = ("groups", "flush", "statistics")

    def __init__(
        self,
        config: LayerConfig,
        replies: ReplyStore,
        publisher: Publisher,
        delays: DelayStore,
        order: OrderStore,
        attempts: AttemptStore,
        pieces: WorkerPieces,
        make_inbox: Callable[[str], Inbox],
        make_pieces: Callable[[str], InterfacePieces],
    ) -> None:
        self.config = config
        self.alias = config.alias
        self.replies = replies
        self.publisher = publisher
        self.delays = delays
        self.order = order
        self.attempts = attempts
        self.pieces = pieces
        self.make_inbox = make_inbox
        self.make_pieces = make_pieces
        self.dropped: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        #: makes the half below when it is first used, since interface processes never use it
        self.make_reliable: Callable[[LayerConfig], ReliablePublisher] | None = None
        self._reliable: ReliablePublisher | None = None
        #: encoded disconnects of dead interface processes' connections that the broker has not got yet, by channel
        self.owed: dict[str, list[bytes]] = {}

    def __str__(self) -> str:
        return f"{self.alias} ({type(self).__module__}.{type(self).__name__})"

    @property
    def reliable(self) -> ReliablePublisher | None:
        """The half that holds reliable channels; where there is none they are like any other."""
        if self._reliable is None and self.make_reliable is not None:
            self._reliable = self.make_reliable(self.config)
        return self._reliable

    def local_only(self) -> bool:
        """Tell whether the layer reaches no other process (item 45)."""
        return self.config.kind == "memory"

    # what is to be sent, checked and encoded at the call (items 24, 28)

    def is_reliable(self, channel: str) -> bool:
        """Tell whether no message of a channel may get lost: as its routing says, or CONFIG where that is missing."""
        if "!" in channel or "?" in channel or channel.startswith(("websocket.", "http.")):
            return False
        if self.make_reliable is None:
            return False
        if any(pattern.match(channel) for pattern in self.config.reliable_channels):
            return True
        return channel in reliable_channels_of(self.alias)

    def has_outbox(self, channel: str) -> bool:
        """Tell whether messages for a reliable channel are written to the sender's database first."""
        policy = reliable_channels_of(self.alias).get(channel)
        return self.config.outbox or (policy is not None and policy.outbox)

    def prepare(self, channel: str, content: object) -> ChannelSend | ReliableSend | ReplySend | BodySend:
        """Check and encode a message for a channel, without sending it.

        Args:
            channel: a checked channel name.
            content: the message, a dict.

        Raises:
            InvalidContent: it is no message.
            MessageTooLarge: it is above the layer's limit.
            InvalidName: a reply channel that no interface process can have made.
        """
        packed = encode_content(content, self.config.message_size)
        if self.is_reliable(channel):
            return ReliableSend(channel, uuid4().hex, packed, outbox=self.has_outbox(channel), trace=sent(channel))
        if not is_reply_channel(channel):
            return ChannelSend(channel, encode_item(packed, self.deadline(), sent(channel)))
        if is_body_channel(channel):
            return BodySend(channel, packed)
        address = reply_address(channel)
        sent(channel)
        control = isinstance(content, dict) and not _CONTROLS.isdisjoint(content)
        return ReplySend(channel, address.node, address.token, packed, control)

    def prepare_group(self, group: str, content: object) -> GroupSend:
        """Check and encode a message for a group; raises as `prepare` does."""
        sent("group")
        return GroupSend(group, encode_content(content, self.config.message_size))

    def prepare_delayed(self, channel: str, content: object, delay: object) -> DelayedSend | ReliableSend:
        """Check and encode a message that is to be sent later.

        Args:
            channel: a checked channel name.
            content: the message, a dict.
            delay: milliseconds, above 0.

        Raises:
            InvalidContent: it is no message, or that is no delay.
        """
        milliseconds = check_delay(delay)
        if is_reply_channel(channel):
            reply_address(channel)
        if self.is_reliable(channel):
            packed = encode_content(content, self.config.message_size)
            return ReliableSend(
                channel, uuid4().hex, packed, milliseconds, outbox=self.has_outbox(channel), trace=sent(channel)
            )
        return DelayedSend(channel, encode_content(content, self.config.message_size), milliseconds, sent(channel))

    def deadline(self) -> int:
        """Return until when a message that is sent now may wait, in milliseconds since 1970."""
        return int((time.time() + self.config.expiry) * 1000)

    # sending

    def flush_sends(self, sends: Sequence[Send]) -> tuple[str, ...]:
        """Send what was prepared: reliable channels, then other normal ones, then replies and groups in call order.

        Args:
            sends: in the order of the calls.

        Returns:
            The names of the channels that were full and took nothing of what was for them.

        Raises:
            BrokerUnavailable: the broker did not take a message.
            LayerUnavailable: Redis did not take a reply or a group send.
        """
        full: list[str] = []
        for send in sends:
            if isinstance(send, ReliableSend) and not self._send_reliable(send):
                full.append(send.channel)
        delayed = [send for send in sends if isinstance(send, DelayedSend)]
        if delayed and not self.delays.add(delayed):
            full += dict.fromkeys(send.channel for send in delayed)
            self.dropped["delayed_full"] += len(delayed)
        queued = sorted((send for send in sends if isinstance(send, ChannelSend)), key=lambda send: send.channel)
        for channel, group in groupby(queued, key=lambda send: send.channel):
            full += self._publish(channel, [send.item for send in group])
        pushed = [send for send in sends if isinstance(send, ReplySend | GroupSend)]
        if pushed:
            full += self._settle(self.replies.deliver(pushed))
        for body in (send for send in sends if isinstance(send, BodySend)):
            if not self.pieces.put_body(body_address(body.channel), body.content):
                full.append(body.channel)
        return tuple(full)

    def _send_reliable(self, send: ReliableSend) -> bool:
        if self.reliable is None:
            raise BrokerUnavailable(f"the layer {self.alias} has nothing that sends to reliable channels")
        try:
            self.reliable.send(send)
        except ChannelFull:
            self.count(self.refused, send.channel, 1)
            return False
        self.count(self.sent, send.channel, 1)
        return True

    def _publish(self, channel: str, items: Sequence[bytes]) -> tuple[str, ...]:
        try:
            self.publisher.publish(channel, items)
        except ChannelFull:
            self.count(self.refused, channel, len(items))
            return (channel,)
        self.count(self.sent, channel, len(items))
        return ()

    def _settle(self, delivered: Delivered) -> tuple[str, ...]:
        if delivered.dropped:
            self.dropped.update(delivered.dropped)
        for channel, content in delivered.forward:
            # a group's member at capacity is skipped silently, and counted (item 31)
            if self._publish(channel, [encode_item(content, self.deadline())]):
                self.dropped["channel_full"] += 1
        return delivered.full

    def send(self, channel: str, content: object) -> None:
        """Send to a channel at once (item 49).

        Raises:
            ChannelFull: it is at capacity and took nothing.
        """
        if full := self.flush_sends([self.prepare(check_channel_name(channel), content)]):
            raise ChannelFull(full)

    def send_group(self, group: str, content: object) -> None:
        """Send to every member of a group at once; members at capacity are skipped (items 31, 50)."""
        self.flush_sends([self.prepare_group(check_group_name(group), content)])

    def check_broker(self) -> None:
        """Make sure that this process and the others of the layer use the same broker; call it once at start.

        Raises:
            InvalidChannelLayerError: a process that is alive uses another one.
        """
        try:
            self.replies.check_fingerprint(broker_identity())
        except LayerUnavailable as error:
            logger.warning("not checked whether other processes use the same broker: %s", error)

    def take_dropped(self) -> Counter[str]:
        """Return and forget the counts of what was dropped silently, by reason."""
        dropped, self.dropped = self.dropped, Counter()
        return dropped

    # groups

    def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member of a group (items 29, 50)."""
        name = check_channel_name(channel)
        if is_reply_channel(name):
            reply_address(name)
        self.replies.group_add(check_group_name(group), name)

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership (items 29, 50)."""
        self.replies.group_discard(check_group_name(group), check_channel_name(channel))

    def group_channels(self, group: str) -> list[str]:
        """Return the members of a group (item 50)."""
        return self.replies.group_channels(check_group_name(group))

    def new_node(self) -> str:
        """Return a name for an interface process: unguessable, since reply channels hold it."""
        return secrets.token_urlsafe(9)

    def close(self) -> None:
        """End the connections of both halves; the next send opens new ones."""
        self.publisher.close()
        if self._reliable is not None:
            self._reliable.close()
        self.replies.close()
        self.delays.close()
        self.order.close()
        self.attempts.close()
        self.pieces.close()
