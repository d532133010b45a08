"""What a sender wants sent, already checked and encoded: values that can be held back and flushed together."""

from dataclasses import dataclass

__all__ = ["KINDS", "BodySend", "ChannelSend", "DelayedSend", "GroupSend", "ReliableSend", "ReplySend", "Send"]


@dataclass(frozen=True, slots=True)
class ChannelSend:
    """A message for a normal channel: an encoded item for its queue."""

    channel: str
    item: bytes


@dataclass(frozen=True, slots=True)
class ReliableSend:
    """A message for a reliable channel.

    Args:
        channel: the channel's name.
        id: the message's, made before it is sent, so that the sender knows it at once.
        content: the encoded content.
        delay: milliseconds from when it is handed over.
        outbox: it is written to the sender's database, in its transaction.
        using: that database's alias in DATABASES; None means the one that routers choose for the outbox.
        trace: the `traceparent` of its sending, or "".
    """

    channel: str
    id: str
    content: bytes
    delay: int = 0
    outbox: bool = False
    using: str | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ReplySend:
    """A reply to one connection.

    Args:
        channel: the reply channel's name.
        node: the interface process that holds the connection.
        token: the connection.
        content: the encoded content.
        control: it accepts or closes the connection, so it passes a full inbox.
    """

    channel: str
    node: str
    token: str
    content: bytes
    control: bool


@dataclass(frozen=True, slots=True)
class BodySend:
    """A message for a channel with a '?', which one process reads alone: the encoded content."""

    channel: str
    content: bytes


@dataclass(frozen=True, slots=True)
class GroupSend:
    """A message for every member of a group: the encoded content, once."""

    group: str
    content: bytes


@dataclass(frozen=True, slots=True)
class DelayedSend:
    """A message for any channel that is to be sent later.

    Args:
        channel: the channel's name.
        content: the encoded content.
        delay: milliseconds from when it is handed over.
        trace: the `traceparent` of its sending, or "".
    """

    channel: str
    content: bytes
    delay: int
    trace: str = ""


Send = ChannelSend | ReliableSend | ReplySend | BodySend | GroupSend | DelayedSend

#: What a send is counted as.
KINDS = {
    ChannelSend: "channel",
    ReliableSend: "reliable",
    ReplySend: "reply",
    BodySend: "body",
    GroupSend: "group",
    DelayedSend: "delayed",
}
