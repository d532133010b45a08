"""Responses in pieces: the parts of a stream one by one, and no more of them under way than their client reads."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import StreamingHttpResponse

from channelcelery.channel import Channel
from channelcelery.core.names import reply_address
from channelcelery.exceptions import ChannelFull, ResponseAborted
from channelcelery.layers.pieces import GONE, GRANTED, MAX_PIECES

__all__ = ["FAILED", "PieceSender", "Reply", "Sending", "parts_of"]

logger = logging.getLogger("django.channels.worker")

Reply = dict[str, Any]

_TEXT = [(b"Content-Type", b"text/plain")]
#: The answer where there is no response.
FAILED: Reply = {"status": 500, "headers": _TEXT, "content": b"Internal Server Error", "more_content": False}
#: What an interface process takes for the end of a response that is not complete (`core.http`).
_CUT_OFF: Reply = {"closed": True}

#: Seconds that one wait for credits takes at most, and that the client may be gone before it is noticed.
_SLICE = 1.0
#: Seconds between two tries where the inbox is full (item 60).
_AGAIN = 0.05


class PieceSender:
    """Sends the pieces of one response at once, but only so far ahead as its client reads (item 107).

    Args:
        channel: the request's reply channel.
        ahead: pieces that need no leave.
        stopping: says that it is to wait no more.
    """

    def __init__(self, channel: Channel, ahead: int = MAX_PIECES, stopping: Callable[[], bool] = lambda: False) -> None:
        self._channel = channel
        self._stopping = stopping
        self._pieces = channel.channel_layer.pieces
        self._address = reply_address(channel.name)
        self._room = ahead
        self._looked = time.monotonic()

    def send(self, piece: dict[str, Any]) -> None:
        """Send a piece, once there is leave to.

        Raises:
            ResponseAborted: nobody takes it: the client is gone, or its interface process; or it is to wait no more.
            LayerUnavailable: Redis did not answer.
        """
        if time.monotonic() - self._looked >= _SLICE:
            self._look(0)
        while self._room < 1:
            self._look(_SLICE)
        while not self._sent(piece):
            time.sleep(_AGAIN)
            self._look(0)
        self._room -= 1

    def _sent(self, piece: dict[str, Any]) -> bool:
        try:
            self._channel.send(piece, immediately=True)
        except ChannelFull:
            return False
        return True

    def _look(self, timeout: float) -> None:
        """Take the credits that are there, for which this waits."""
        if self._stopping():
            raise ResponseAborted(f"{self._channel.name}: the worker ends before the response does")
        credits = self._pieces.take_credits(self._address, timeout)
        self._looked = time.monotonic()
        if credits == GONE or not (credits or self._pieces.alive(self._address.node)):
            raise ResponseAborted(f"{self._channel.name}: nobody takes the rest of the response")
        self._room += credits


class Sending:
    """Sends one response: a single reply as any send of a consumer, others piece by piece.

    Args:
        channel: the request's reply channel.
        replies: of its response, made one by one.
    """

    def __init__(self, channel: Channel, replies: Generator[Reply]) -> None:
        self._channel, self._replies = channel, replies
        self._sender: PieceSender | None = None
        self._complete = False

    def send(self) -> None:
        """Send it; if making it fails, the client is told as far as that is possible."""
        self._send()

    def send_beside(self, stopping: Callable[[], bool]) -> None:
        """Send it in a thread of its own, which may wait for as long as the client reads, and is told when to stop."""
        self._send(stopping)

    def cut_off(self) -> None:
        """End the connection of a client that does not get the rest."""
        self._channel.send(_CUT_OFF, immediately=True)

    def _send(self, stopping: Callable[[], bool] | None = None) -> None:
        try:
            for reply in self._replies:
                self._send_one(reply, stopping)
                self._complete = not reply["more_content"]
        except ResponseAborted as error:
            logger.debug("%s", error)
            if stopping is not None and stopping():
                self.cut_off()
        except BaseException:
            if not self._complete:  # its client would wait for as long as CONFIG["http_timeout"]
                self._channel.send(FAILED if self._sender is None else _CUT_OFF, immediately=True)
            raise
        finally:
            self._replies.close()

    def _send_one(self, reply: Reply, stopping: Callable[[], bool] | None) -> None:
        if self._sender is None:
            if not reply["more_content"]:
                self._channel.send(reply)
                return
            if stopping is None:
                self._sender = PieceSender(self._channel)
            else:
                # fewer, since there may be many such responses at a time
                self._sender = PieceSender(self._channel, GRANTED, stopping)
                reply["paced"] = True
        self._sender.send(reply)


def parts_of(response: StreamingHttpResponse) -> Iterator[bytes]:
    """Return the parts of a stream, made one by one, each when it is asked for."""
    if response.is_async:
        return _parts_of_async(response)
    return iter(response.streaming_content)  # type: ignore[arg-type]


def _parts_of_async(response: StreamingHttpResponse) -> Iterator[bytes]:
    # one event loop for all parts, since a generator may hold on to things of its loop; it stands still between them
    parts: AsyncIterator[bytes] = response.streaming_content  # type: ignore[assignment]
    with asyncio.Runner() as runner:
        try:
            while (part := runner.run(_next(parts))) is not None:
                yield part
        finally:
            runner.run(_close(response, parts))


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)


async def _close(response: StreamingHttpResponse, parts: AsyncIterator[bytes]) -> None:
    inner = response._iterator  # type: ignore[attr-defined]
    for generator in (parts, inner):  # Django wraps it, and closes only what is not async
        if (close := getattr(generator, "aclose", None)) is not None:
            await close()
    # Django's ORM ran in a thread of its own, whose connections no signal of this one reaches
    await sync_to_async(close_old_connections)()
