"""How HTTP bodies travel that do not fit one message: in pieces, each side with its own small Protocol."""

from typing import Protocol

from channelcelery.core.names import ReplyAddress

__all__ = ["GONE", "GRANTED", "MAX_PIECES", "InterfacePieces", "WorkerPieces"]

#: Pieces of one HTTP body that may be under way at a time, in each direction: what bounds Redis's memory.
MAX_PIECES = 8
#: Pieces of a response that a worker is told of in one call, well before it runs out.
GRANTED = MAX_PIECES // 2
#: Instead of credits: the client of a response is gone, or its interface process is.
GONE = -1


class WorkerPieces(Protocol):
    """The workers' side of HTTP bodies that do not fit one message; safe to share between threads, and after a fork."""

    def take_body(self, address: ReplyAddress, timeout: float) -> bytes | None:
        """Wait for the next piece of a request's body.

        Args:
            address: the request's connection.
            timeout: seconds to wait at most.

        Returns:
            The piece's encoded content, a message of item 91; None if none came in time, or the process that holds
            the connection is gone: `alive` tells which.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def put_body(self, address: ReplyAddress, content: bytes) -> bool:
        """Put a piece where the reader of a body takes it: a message that was sent to a body channel by hand.

        Args:
            address: the request's connection.
            content: an encoded message of item 91.

        Returns:
            False if `MAX_PIECES` wait already: it was not put.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def take_credits(self, address: ReplyAddress, timeout: float) -> int:
        """Wait for leave to send more pieces of a response than the first `MAX_PIECES`.

        Args:
            address: the request's connection.
            timeout: seconds to wait at most.

        Returns:
            How many more may be sent, all that there are; 0 if none came in time; `GONE` if nobody takes them any more.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def alive(self, node: str) -> bool:
        """Tell whether an interface process gave a sign of life in time.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def close(self) -> None:
        """End the connections; the next call opens new ones."""


class InterfacePieces(Protocol):
    """The interface process's side of HTTP bodies that do not fit one message, for one event loop."""

    async def put_body(self, token: str, content: bytes) -> bool:
        """Put the next piece of a request's body where its worker takes it.

        Args:
            token: the request's connection.
            content: an encoded message of item 91, at most 256 KiB and what wraps it.

        Returns:
            False if `MAX_PIECES` wait already: it was not put, try again a little later.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    async def grant(self, token: str, credits: int) -> None:
        """Let the worker send more pieces of a response, or tell it by `GONE` that nobody takes them any more.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    async def drop_pieces(self, token: str) -> None:
        """Delete what waits of a request's body, when the request is over.

        Raises:
            LayerUnavailable: Redis did not answer; it expires by itself.
        """

    async def close(self) -> None:
        """End the connections."""
