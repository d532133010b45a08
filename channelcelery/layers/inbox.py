"""The interface process's side of replies and groups: its inbox, its signs of life, its connections."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Protocol

from channelcelery.core.inbox import Entry

__all__ = ["Beat", "Inbox"]


class Beat(Enum):
    """What an interface process learns from its heartbeat."""

    ALIVE = "alive"
    LOST = "lost"  #: Redis lost its data: write everything again
    DEAD = "dead"  #: others took this process for dead: close its sockets and take a new name


class Inbox(Protocol):
    """The interface process's side: one node's inbox, its heartbeat and what it says of its connections."""

    node: str

    async def open(self) -> None:
        """Make the node known and alive.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    async def read(self) -> Sequence[Entry]:
        """Wait for entries and return them in order; empty after a second without any. Unreadable ones are skipped.

        Raises:
            LayerUnavailable: the connection broke; call again.
        """

    async def beat(self) -> Beat:
        """Give a sign of life and learn whether Redis still knows this node.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    async def record(
        self, opened: Mapping[str, str], closed: Collection[str], left: Collection[tuple[str, str]]
    ) -> None:
        """Write what changed among the node's connections, in one round trip.

        Args:
            opened: token -> path of new connections.
            closed: tokens of connections that ended.
            left: (group, token) memberships that ended.
        """

    async def rebuild(self, channels: Mapping[str, str], groups: Mapping[str, Collection[str]]) -> None:
        """Write everything again after Redis lost its data.

        Args:
            channels: token -> path of the open connections.
            groups: group -> tokens of its local members.
        """

    async def close(self) -> None:
        """Remove every key of this node and end the connections."""
