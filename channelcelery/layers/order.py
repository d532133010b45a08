"""Where the order of a connection's messages is kept: what a store of it must do (Channels 1.x, items 155 to 172)."""

from collections.abc import Collection
from typing import Protocol

from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import Arrival, Entered, Left, Parked, Swept

__all__ = ["OrderStore"]


class OrderStore(Protocol):
    """Knows whose turn it is on each connection; safe to share between threads, and usable again after a fork."""

    def enter(self, address: ReplyAddress, arrival: Arrival, room: int = 0, channels: Collection[str] = ()) -> Entered:
        """Decide what becomes of a message that came; one that is parked is the store's from then on.

        Args:
            address: its connection.
            arrival: the message.
            room: how many other messages the caller is ready to run.
            channels: the channels that it may run.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def leave(
        self,
        address: ReplyAddress,
        number: int,
        room: int = 0,
        channels: Collection[str] = (),
        again: Parked | None = None,
    ) -> Left:
        """Take note that a message that had its turn has ended, and find out what follows it.

        Args:
            address: its connection.
            number: its number.
            room: how many messages the caller is ready to run.
            channels: the channels that it may run.
            again: the message, if it is to have its turn once more.

        Raises:
            LayerUnavailable: Redis did not answer; the connection goes on after a while.
        """

    def renew(self, running: Collection[tuple[ReplyAddress, int]]) -> None:
        """Give a sign of life of consumers that run.

        Args:
            running: connection and number of each message.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def sweep(self, limit: int) -> Swept:
        """Let connections that waited for too long go on, at most `limit` a host.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def flush(self) -> None:
        """Drop every message that waits, and forget whose turn it is.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
