"""One tree of errors, each with the data that a handler needs and the mend that a reader needs.

ChannelCeleryError
├── InvalidName (TypeError)                    a channel's or group's name breaks the rules
├── InvalidContent (TypeError, ValueError)     what was to be sent is no message
│   └── MessageTooLarge                        it is one, but above the layer's limit
├── InvalidEnvelope (ValueError)               bytes from a queue or an inbox that cannot be read
├── InvalidChannelLayerError (ValueError)      CHANNEL_LAYERS is wrong
├── ChannelFull                                a channel is at its capacity
├── BrokerUnavailable                          the broker did not take a message in time
│   ├── BrokerRefused                          it is there, and does not take it
│   └── BrokerUnanswered                       it may have taken it, but did not say so
├── LayerUnavailable                           Redis did not take a reply, a group send or a membership
├── ConsumeLater                               raised by a consumer: run this message again, later
├── Retry                                      raised by a reliable consumer: run this message again, after a while
├── Reject                                     raised by a reliable consumer: no further run could do better
├── DenyConnection                             raised by a connect consumer: refuse the socket
├── ResponseLater                              raised by a view: something else answers the request, later
├── RequestTimeout                             a piece of a request's body did not come in time
├── RequestAborted                             a client left before its request's body was read
├── ResponseAborted                            a client left before it had its response
├── SendNotAvailableOnDemultiplexer            a stream's consumer must send with its multiplexer
└── ChannelSocketException                     raised by a consumer: the worker calls its run(message)
    └── WebsocketCloseException                closes the socket with a code
"""

import copyreg
from collections.abc import Sequence
from typing import Any

__all__ = [
    "BrokerRefused",
    "BrokerUnanswered",
    "BrokerUnavailable",
    "ChannelCeleryError",
    "ChannelFull",
    "ChannelSocketException",
    "ConsumeLater",
    "DenyConnection",
    "InvalidChannelLayerError",
    "InvalidContent",
    "InvalidEnvelope",
    "InvalidName",
    "LayerUnavailable",
    "MessageTooLarge",
    "Reject",
    "RequestAborted",
    "RequestTimeout",
    "ResponseAborted",
    "ResponseLater",
    "Retry",
    "SendNotAvailableOnDemultiplexer",
    "WebsocketCloseException",
]


class ChannelCeleryError(Exception):
    """The root: catching it catches every error that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # pools and result backends pickle errors, and would call __init__ with the text instead of the data
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidName(ChannelCeleryError, TypeError):
    """A channel's or group's name breaks the rules (Channels 1.x, items 17 to 20).

    Args:
        kind: "channel" or "group".
        name: what was given.
        rule: the rule that it breaks, in words.
    """

    def __init__(self, kind: str, name: object, rule: str) -> None:
        super().__init__(f"{name!r:.220} is no {kind} name: {rule}")
        self.kind, self.name, self.rule = kind, name, rule


class InvalidContent(ChannelCeleryError, TypeError, ValueError):
    """What was to be sent is no message: not a dict, or it holds a value that cannot travel (items 22, 28, 30)."""


class MessageTooLarge(InvalidContent):
    """A message is above the layer's limit (item 23).

    Args:
        size: bytes of the encoded message.
        limit: bytes that the layer takes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the message takes {size:,} bytes, the layer's limit is {limit:,}: "
            "send a reference to the data instead, or raise CONFIG['message_size']"
        )
        self.size, self.limit = size, limit


class InvalidEnvelope(ChannelCeleryError, ValueError):
    """Bytes from a queue or an inbox that cannot be read; the reader logs, counts and drops them."""


class InvalidChannelLayerError(ChannelCeleryError, ValueError):
    """CHANNEL_LAYERS is wrong (item 44).

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        key: the key that is wrong, such as "CONFIG['hosts']".
        mend: what is wrong and what to write instead.
    """

    def __init__(self, alias: str, key: str, mend: str) -> None:
        super().__init__(f"CHANNEL_LAYERS[{alias!r}], {key}: {mend}")
        self.alias, self.key, self.mend = alias, key, mend


class ChannelFull(ChannelCeleryError):
    """A channel is at its capacity and took nothing (items 38, 39, 54).

    Args:
        channels: the names of the channels that are full.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(channels)}: at capacity. Run more workers, or raise CONFIG['capacity'] "
            "or CONFIG['channel_capacity']"
        )
        self.channels = tuple(channels)


class BrokerUnavailable(ChannelCeleryError):
    """The broker did not take a message within the time limit; nothing says that it got it.

    Args:
        reason: what the broker's client said.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(
            f"the broker did not take the message: {reason}. Is CELERY_BROKER_URL right and the broker up?"
        )
        self.reason = reason
        #: messages of the call, from its first on, that the broker took before
        self.taken = 0
        #: messages after these that it may have
        self.in_doubt = 0

    @property
    def settled(self) -> int:
        """How many messages of the call, from its first on, are not to be sent again, since nothing may run twice."""
        return self.taken + self.in_doubt


class BrokerRefused(BrokerUnavailable):
    """The broker is there and did not take a message: its queue was declared otherwise, or has reached its limit.

    Args:
        reason: what the broker said.
    """


class BrokerUnanswered(BrokerUnavailable):
    """The broker was sent a message and did not answer within the time limit; it may have it or get it yet.

    A message without guarantees is then not sent again, since nothing may run twice.

    Args:
        reason: what the broker's client said.
    """


class LayerUnavailable(ChannelCeleryError):
    """Redis did not take a reply, a group send or a membership.

    Args:
        reason: what Redis or its client said.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(f"the channel layer's Redis did not answer: {reason}. Are CONFIG['hosts'] right and Redis up?")
        self.reason = reason


class ConsumeLater(ChannelCeleryError):
    """Raised by a consumer whose message should run again later (item 80)."""


class Retry(ChannelCeleryError):
    """Raised by the consumer of a reliable channel whose message should run again after a while.

    After the last of its attempts the message is dead.

    Args:
        after: seconds, up to 30 days; None waits as after any other error, by the channel's backoff.
        why: what a person is told who looks at the log or the dead letters.

    Raises:
        ValueError: the seconds are no such number.
    """

    def __init__(self, after: float | None = None, why: str = "") -> None:
        number = isinstance(after, int | float) and not isinstance(after, bool)
        # so written that not-a-number is refused
        if after is not None and not (number and 0 <= after <= 30 * 24 * 3600):
            raise ValueError(f"Retry(after={after!r:.100}): write seconds, up to 30 days, or None for the backoff")
        super().__init__(why or "the consumer asked for another run")
        self.after = after


class Reject(ChannelCeleryError):
    """Raised by the consumer of a reliable channel whose message no further run could handle: it is dead at once.

    Args:
        why: what a person is told who looks at the dead letters.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why or "the consumer rejected the message")


class DenyConnection(ChannelCeleryError):
    """Raised by a `websocket.connect` consumer to refuse the socket (item 81)."""


class ResponseLater(ChannelCeleryError):
    """Raised by a view that leaves the answer to something else, which has the reply channel (item 108)."""


class RequestTimeout(ChannelCeleryError):
    """A piece of a request's body did not come in time (item 103)."""


class RequestAborted(ChannelCeleryError):
    """A client left before its request's body was read, so that nobody waits for an answer (item 91)."""


class ResponseAborted(ChannelCeleryError):
    """A client left before it had its response, or its interface process ended: nobody takes the rest."""


class SendNotAvailableOnDemultiplexer(ChannelCeleryError):
    """A demultiplexer, or the consumer of one of its streams, sent without naming the stream (item 194)."""


class ChannelSocketException(ChannelCeleryError):
    """Base of errors that say themselves what to do with the message (item 82)."""

    def run(self, message: Any) -> None:
        """Act on the message whose consumer raised this.

        Args:
            message: the `Message` that was being consumed.
        """
        raise NotImplementedError(f"{type(self).__name__} must define run(message)")


class WebsocketCloseException(ChannelSocketException):
    """Raised by a websocket consumer to close its socket (item 83).

    Args:
        code: 1000 or 3000 to 4999; None closes with 1000.

    Raises:
        ValueError: the code may not be sent by an application (RFC 6455, section 7.4).
    """

    def __init__(self, code: int | None = None) -> None:
        allowed = code is None or (
            isinstance(code, int) and not isinstance(code, bool) and (code == 1000 or 3000 <= code <= 4999)
        )
        if not allowed:
            raise ValueError(f"close code {code!r}: an application may send 1000 or 3000 to 4999")
        super().__init__(f"close with {code or 1000}")
        self.code = code

    def run(self, message: Any) -> None:
        if not str(message.channel.name).startswith("websocket."):
            raise ValueError(
                f"{type(self).__name__} was raised by a consumer of {message.channel.name}, not of a socket"
            )
        if message.reply_channel is None:
            raise ValueError(
                f"a message of {message.channel.name} has no reply channel, so there is no socket to close"
            )
        message.reply_channel.send({"close": True if self.code is None else self.code})
