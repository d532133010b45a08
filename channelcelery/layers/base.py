"""What the two halves of a channel layer must do: small Protocols, so that each half is chosen on its own.

Normal channels go through a `Publisher` to Kombu queues. Replies and groups go through a `ReplyStore` into the inboxes
of the interface processes, each of which reads its own through an `Inbox` (`layers.inbox`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from channelcelery.core.names import ReplyAddress
from channelcelery.core.sends import DelayedSend, GroupSend, ReliableSend, ReplySend

__all__ = ["DelayStore", "Delivered", "NodeStatus", "Orphan", "Publisher", "ReliablePublisher", "ReplyStore"]


class Publisher(Protocol):
    """Takes messages for normal channels; safe to share between threads, and usable again after a fork."""

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages of one channel to the broker, in order, and return when it has them.

        Args:
            channel: a normal channel's name.
            items: encoded items (`core.envelope.encode_item`).

        Raises:
            ChannelFull: the channel is at capacity; none of the items was sent.
            BrokerUnavailable: the broker could not be reached within the time limit.
        """

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages back that were taken from a channel and did not run; capacity does not count.

        Raises:
            BrokerUnavailable: the broker could not be reached within the time limit.
        """

    def take(self, channel: str) -> bytes | None:
        """Take the oldest message off a channel, or return None; it is the caller's from then on.

        Raises:
            BrokerUnavailable: the broker could not be reached within the time limit.
        """

    def depth(self, channel: str) -> int:
        """Return how many broker messages wait on a channel; 0 if its queue does not exist."""

    def purge(self, channel: str) -> None:
        """Drop what waits on a channel."""

    def close(self) -> None:
        """End the connection; the next publish opens a new one."""


class ReliablePublisher(Protocol):
    """Takes messages for reliable channels; safe to share between threads, and usable again after a fork."""

    def send(self, send: ReliableSend) -> None:
        """Hand a message to the broker, or to the outbox, and return when it is kept.

        Raises:
            DatabaseError, InterfaceError: it is for the outbox, and the database did not take it.
            ChannelFull: the channel is at capacity.
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """

    def depth(self, channel: str) -> int:
        """Return how many messages wait on a channel, those that workers have taken and not ended left out."""

    def close(self) -> None:
        """End the connection; the next send opens a new one."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of replies and group sends; a total answer rather than an exception.

    Args:
        full: reply channels whose interface process is at its inbox's limit: their replies were dropped.
        dropped: counts by reason ("inbox_full", "node_gone") of what was dropped, group payloads included.
        forward: (normal channel, encoded content) pairs: members of groups that are queues, for the caller to publish.
    """

    full: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    forward: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Orphan:
    """A connection whose interface process died; its disconnect is the reaper's to send."""

    address: ReplyAddress
    path: str

    @property
    def channel(self) -> str:
        """The channel that consumers learn of its end by."""
        return "http.disconnect" if self.address.is_http else "websocket.disconnect"

    def disconnect(self) -> dict[str, object]:
        """Return the message for it: without `order`, since it runs after whatever else is under way."""
        content: dict[str, object] = {"reply_channel": self.address.channel(), "path": self.path}
        return content if self.address.is_http else {**content, "code": 1006}


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How one interface process is, as the others see it.

    Args:
        node: its name.
        alive: whether it gave a sign of life in time; if not, its connections are about to be taken for ended.
        connections: sockets and HTTP requests that it holds.
        groups: those that hold any of its sockets.
        entries: what waits in its inbox, read less than a moment ago included.
        bytes: of these.
        lag: seconds that the oldest of these has waited; 0 in memory.
    """

    node: str
    alive: bool
    connections: int
    groups: int
    entries: int
    bytes: int
    lag: float


class ReplyStore(Protocol):
    """The senders' side of replies and groups; safe to share between threads, and usable again after a fork."""

    def deliver(self, sends: Sequence[ReplySend | GroupSend]) -> Delivered:
        """Put replies and group sends into the inboxes, in order, in one round trip a host.

        Raises:
            LayerUnavailable: Redis did not answer; some of it may have been delivered.
        """

    def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member: a group send after this call reaches it. Adding twice changes nothing.

        Args:
            group: a checked group name.
            channel: a checked channel name: a reply channel, or a normal channel (item 32).

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership; a channel that is no member changes nothing."""

    def group_channels(self, group: str) -> list[str]:
        """Return the members' names, in no order."""

    def reap(self) -> list[Orphan]:
        """Clear the keys of every interface process that died; each orphan is returned to exactly one caller."""

    def status(self, node: str = "") -> list[NodeStatus]:
        """Tell how interface processes are: all, or one, which then need not be known.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def check_fingerprint(self, value: str) -> None:
        """Make sure that all processes of this layer give the same value; call it once at start.

        Raises:
            InvalidChannelLayerError: a process that is alive gave another one.
            LayerUnavailable: Redis did not answer.
        """

    def flush(self) -> None:
        """Delete every inbox entry and group of this layer (item 50)."""

    def close(self) -> None:
        """End the connections; the next call opens new ones."""


class DelayStore(Protocol):
    """Where messages wait until they are due; safe to share between threads, and usable again after a fork."""

    def add(self, sends: Sequence[DelayedSend]) -> bool:
        """Let messages wait; false if there was no room for some of them.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def take_due(self, limit: int) -> list[DelayedSend]:
        """Return what is due, its delay 0, each to one caller, at most `limit` a host.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def flush(self) -> None:
        """Drop every message that waits.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
