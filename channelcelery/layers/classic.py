"""What layers of Channels 1.x offer to programs that read channels by themselves (items 18, 45, 49 to 51, 53)."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Self

from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import decode_content, decode_item
from channelcelery.core.names import body_address, check_channel_name, check_normal_channel_name, is_body_channel
from channelcelery.core.sends import Send
from channelcelery.exceptions import InvalidEnvelope, InvalidName
from channelcelery.layers.base import DelayStore, Publisher, ReplyStore
from channelcelery.layers.order import OrderStore
from channelcelery.layers.pieces import WorkerPieces
from channelcelery.layers.routers import router_of

__all__ = ["ClassicApi"]

logger = logging.getLogger("django.channels.layer")

#: Seconds that a blocking `receive` waits, and between two of its looks.
_BLOCK, _LOOK = 5.0, 0.05
#: What interface processes send, whether this process knows of it or not.
_ALWAYS = ("http.request", "http.disconnect", "websocket.connect", "websocket.receive", "websocket.disconnect")
#: Channels whose messages are counted.
_REMEMBERED = 10_000
_random = secrets.SystemRandom()


class ClassicApi:
    """The part of a channel layer that neither consumers nor workers need."""

    config: LayerConfig
    alias: str
    replies: ReplyStore
    publisher: Publisher
    delays: DelayStore
    order: OrderStore
    pieces: WorkerPieces
    #: messages that this process sent to normal channels, and those that it could not, by channel
    sent: Counter[str]
    refused: Counter[str]

    @property
    def channel_layer(self) -> Self:
        """The layer itself: in Channels 1.x a wrapper had what it wraps here (item 45)."""
        return self

    @property
    def expiry(self) -> float:
        """Seconds after which an unread message is dropped (item 56)."""
        return self.config.expiry

    @property
    def capacity(self) -> int:
        """Messages that may wait on a normal channel without one of its own (item 52)."""
        return self.config.capacity

    @property
    def group_expiry(self) -> float:
        """Seconds that a membership lasts after the last `group_add` (items 50 and 58)."""
        return self.config.group_expiry

    @property
    def routing(self) -> Any:
        """ROUTING of the settings, as it is written there (item 45)."""
        return self.config.routing

    @property
    def router(self) -> Any:
        """The `channelcelery.routing.Router` of this layer, with `channels` and `match` (item 45)."""
        return router_of(self.alias)

    def receive(self, channels: Collection[str], block: bool = False) -> tuple[str | None, dict[str, Any] | None]:
        """Take one message from any of some channels; workers have a faster way (items 49 and 53).

        Args:
            channels: names of normal channels, or of channels that requests' bodies come by (item 91).
            block: wait for a message, for 5 seconds at most.

        Returns:
            The channel's name and the message, or (None, None).

        Raises:
            InvalidName: a name breaks the rules, or is a reply channel's.
            BrokerUnavailable: the broker could not be reached.
            LayerUnavailable: Redis did not answer.
        """
        names = [_readable(name) for name in channels]
        give_up = time.monotonic() + (_BLOCK if block else 0)
        while True:
            # in any order, so that a busy channel keeps no other one waiting
            for name in _random.sample(names, len(names)):
                taken = self.take_piece(name, _LOOK if block else 0) if is_body_channel(name) else self._take(name)
                if taken is not None:
                    return name, taken
            if time.monotonic() >= give_up:
                return None, None
            time.sleep(_LOOK)

    def receive_many(self, channels: Collection[str], block: bool = False) -> tuple[str | None, dict[str, Any] | None]:
        """Do what `receive` does, by the name that it had before Channels 1.0 (item 49)."""
        return self.receive(channels, block)

    def _take(self, channel: str) -> dict[str, Any] | None:
        while (packed := self.publisher.take(channel)) is not None:
            try:
                item = decode_item(packed)
            except InvalidEnvelope as error:
                logger.error("a message on %s cannot be read and is dropped: %s", channel, error)
                continue
            if item.deadline >= time.time() * 1000:
                return item.content
        return None

    def prepare(self, channel: str, content: object) -> Send:
        """See `ChannelLayer.prepare`."""
        raise NotImplementedError

    def flush_sends(self, sends: Sequence[Send]) -> tuple[str, ...]:
        """See `ChannelLayer.flush_sends`."""
        raise NotImplementedError

    def take_piece(self, channel: str, timeout: float) -> dict[str, Any] | None:
        """Take the next piece of a request's body, which the interface process sends only to who asks (item 91).

        Args:
            channel: a checked channel name with a '?'.
            timeout: seconds to wait at most.

        Returns:
            The piece, a message, or None; one that cannot be read is logged, and ends the body.

        Raises:
            LayerUnavailable: Redis did not answer.
        """
        address = body_address(channel)
        packed = self.pieces.take_body(address, 0)
        if packed is None:
            if address.is_http:  # to ask again changes nothing
                self.flush_sends([self.prepare(address.channel(), {"send_body": True})])
            packed = self.pieces.take_body(address, timeout)
        if packed is None:
            return None
        try:
            return decode_content(packed)
        except InvalidEnvelope as error:
            logger.error("a piece of a request's body cannot be read, the request is given up: %s", error)
            return {"closed": True}

    def new_channel(self, pattern: str) -> str:
        """Return a name that nobody can guess (items 18 and 51).

        Args:
            pattern: what it begins with, up to and including a "?" or "!".

        Raises:
            InvalidName: the pattern ends otherwise, or breaks another rule.
        """
        if not isinstance(pattern, str) or pattern[-1:] not in ("?", "!"):
            raise InvalidName("channel", pattern, "a pattern ends with '?' or '!', and the layer adds the rest")
        return check_channel_name(pattern + secrets.token_urlsafe(12))

    def flush(self) -> None:
        """Leave no message and no group, on the channels that this process knows of (item 50).

        Raises:
            BrokerUnavailable: the broker could not be reached.
            LayerUnavailable: Redis did not answer.
        """
        self.replies.flush()
        self.delays.flush()
        self.order.flush()
        for channel in self._known():
            self.publisher.purge(channel)

    def count(self, counter: Counter[str], channel: str, number: int) -> None:
        """Count messages of a channel, of as many channels as may be remembered."""
        if len(counter) >= _REMEMBERED and channel not in counter:
            counter.clear()
        counter[channel] += number

    def _known(self) -> set[str]:
        return {*_ALWAYS, *self.router.channels, *self.sent}

    def channel_statistics(self, channel: str) -> dict[str, int]:
        """Return what is known of a normal channel (item 50).

        Returns:
            `messages_pending`: what waits, by the broker's count, in which a batch is one; `messages_count` and
            `channel_full_count`: what this process sent, and what it could not.
        """
        name = check_normal_channel_name(channel)
        return {
            "messages_pending": self.publisher.depth(name),
            "messages_count": self.sent[name],
            "channel_full_count": self.refused[name],
        }

    def global_statistics(self) -> dict[str, int]:
        """Return the sums of `channel_statistics` over the channels that this process knows of (item 50)."""
        sums: Counter[str] = Counter({"messages_pending": 0, "messages_count": 0, "channel_full_count": 0})
        for channel in self._known():
            sums.update(self.channel_statistics(channel))
        return dict(sums)


def _readable(name: object) -> str:
    text = check_channel_name(name)
    return text if is_body_channel(text) else check_normal_channel_name(text)
