"""A channel layer: both halves behind the API that Channels 1.x gave its layers (items 45, 49, 50)."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

from channelcelery.broker.connection import broker_identity
from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.names import check_channel_name, check_group_name, is_reply_channel, reply_address
from channelcelery.core.sends import ChannelSend, GroupSend, ReplySend, Send
from channelcelery.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from channelcelery.layers.base import Delivered, Inbox, Publisher, ReplyStore

__all__ = ["ChannelLayer"]

logger = logging.getLogger("django.channels.layer")


class ChannelLayer:
    """One alias of CHANNEL_LAYERS, ready to send.

    Args:
        config: its settings.
        replies: the half that holds reply channels and groups.
        publisher: the half that holds normal channels.
        make_inbox: makes the inbox of one interface process from a node's name.
    """

    ChannelFull = ChannelFull
    MessageTooLarge = MessageTooLarge
    extensions = ("groups", "flush")

    def __init__(
        self, config: LayerConfig, replies: ReplyStore, publisher: Publisher, make_inbox: Callable[[str], Inbox]
    ) -> None:
        self.config = config
        self.alias = config.alias
        self.replies = replies
        self.publisher = publisher
        self.make_inbox = make_inbox
        self.dropped: Counter[str] = Counter()

    def __str__(self) -> str:
        return f"{self.alias} ({type(self).__module__}.{type(self).__name__})"

    def local_only(self) -> bool:
        """Tell whether the layer reaches no other process (item 45)."""
        return self.config.kind == "memory"

    # what is to be sent, checked and encoded at the call (items 24, 28)

    def prepare(self, channel: str, content: object) -> ChannelSend | ReplySend:
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
        if not is_reply_channel(channel):
            return ChannelSend(channel, encode_item(packed, self._deadline()))
        address = reply_address(channel)
        control = isinstance(content, dict) and ("accept" in content or "close" in content)
        return ReplySend(channel, address.node, address.token, packed, control)

    def prepare_group(self, group: str, content: object) -> GroupSend:
        """Check and encode a message for a group; raises as `prepare` does."""
        return GroupSend(group, encode_content(content, self.config.message_size))

    def _deadline(self) -> int:
        return int((time.time() + self.config.expiry) * 1000)

    # sending

    def flush_sends(self, sends: Sequence[Send]) -> tuple[str, ...]:
        """Send what was prepared: normal channels first, then replies and groups in call order.

        Args:
            sends: in the order of the calls.

        Returns:
            The names of the channels that were full and took nothing of what was for them.

        Raises:
            BrokerUnavailable: the broker did not take a message.
            LayerUnavailable: Redis did not take a reply or a group send.
        """
        full: list[str] = []
        queued = sorted((send for send in sends if isinstance(send, ChannelSend)), key=lambda send: send.channel)
        for channel, group in groupby(queued, key=lambda send: send.channel):
            full += self._publish(channel, [send.item for send in group])
        pushed = [send for send in sends if not isinstance(send, ChannelSend)]
        if pushed:
            full += self._settle(self.replies.deliver(pushed))
        return tuple(full)

    def _publish(self, channel: str, items: Sequence[bytes]) -> tuple[str, ...]:
        try:
            self.publisher.publish(channel, items)
        except ChannelFull:
            return (channel,)
        return ()

    def _settle(self, delivered: Delivered) -> tuple[str, ...]:
        self.dropped.update(delivered.dropped)
        for channel, content in delivered.forward:
            # a group's member at capacity is skipped silently, and counted (item 31)
            if self._publish(channel, [encode_item(content, self._deadline())]):
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

    def reap(self) -> int:
        """Clear up after interface processes that died, and send the disconnects that these no longer can.

        Returns:
            How many connections had been theirs.

        Raises:
            LayerUnavailable: Redis did not answer.
            BrokerUnavailable: the broker did not take a disconnect.
        """
        orphans = self.replies.reap()
        for orphan in orphans:
            self.flush_sends([self.prepare("websocket.disconnect", orphan.disconnect())])
        return len(orphans)

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
        self.replies.close()
