"""The response to one request: taken from the worker as it comes, sent to the client as it reads (items 92 and 107)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core import http
from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.events import Event, Scope, Send
from channelcelery.interface.faults import Faults
from channelcelery.interface.outlet import begin, hold_little
from channelcelery.interface.spool import Room, Spool
from channelcelery.layers.pieces import GRANTED, InterfacePieces

__all__ = ["Ended", "Response"]

#: Bytes of a response that are held in memory.
_IN_MEMORY = 256 * 1024
#: Bytes that are handed to the server at a time: what a client must take within CONFIG["send_timeout"].
_SENT = 32 * 1024
#: Seconds between two tries to reach a Redis that is away.
_AGAIN = 0.5


class Ended(Exception):
    """A response that cannot be completed; its text is a key of `exchange.ENDS`."""


class Response:
    """What was taken and what was sent of one response.

    Args:
        config: the layer's settings.
        room: what bodies may take.
        pieces: tells the worker how much it may send.
        faults: where faults are counted.
        token: the request's connection.
        scope: the server's description of the request.
        send: the server's, for events.
        failed: called with a key of `exchange.ENDS` if it cannot be held.
    """

    def __init__(
        self,
        config: LayerConfig,
        room: Room,
        pieces: InterfacePieces,
        faults: Faults,
        token: str,
        scope: Scope,
        send: Send,
        failed: Callable[[str], None],
    ) -> None:
        #: whether anything was sent
        self.has_begun = False
        #: whether the worker may have more that goes nowhere, as the answer to a HEAD
        self.is_cut = False
        self.progress = http.Progress(bodiless=scope["method"] == "HEAD")
        self._config, self._pieces, self._faults, self._token = config, pieces, faults, token
        self._knows_chunks = scope["http_version"] != "1.0"
        self._send, self._failed = send, failed
        self._head: http.Head | None = None
        self._spool = Spool(room, _IN_MEMORY)
        self._news = asyncio.Event()
        self._owed = 0  # pieces taken that the worker was not told of
        self._keeper: asyncio.Task[None] | None = None

    # from the worker

    def take(self, step: http.Step, reply: Mapping[str, Any]) -> None:
        """Take what a reply brought.

        Args:
            step: what was decided of it.
            reply: the reply.
        """
        self._head = self._head or step.head
        self.is_cut = self.is_cut or (step.progress.bodiless and reply.get("more_content") is True)
        self._owed += step.progress.state is http.State.STARTED
        self.progress = step.progress
        self._spool.put(step.content)
        # first, so that who sends comes before who puts it into a file
        self._news.set()
        self._tend()

    def _tend(self) -> None:
        """Have content moved to a file and the worker told that it may send more, if need be."""
        if self._keeper is None and (self._may_grant or not self._spool.is_settled):
            self._keeper = asyncio.create_task(self._keep())

    @property
    def _may_grant(self) -> bool:
        # a worker that waits in a thread of its own gains nothing by being rid of its response early
        paced = self._head is not None and self._head.paced
        return self._owed >= GRANTED and self._spool.size < (_IN_MEMORY if paced else self._config.response_spool)

    async def _keep(self) -> None:
        try:
            while await self._spool.settle() and self._may_grant:
                await self._grant()
        except Exception:
            self._faults.note("spool_error", "a response could not be held", trace=True)
            self._failed("bad_response")
        finally:
            self._keeper = None

    async def _grant(self) -> None:
        owed, self._owed = self._owed, 0
        try:
            await self._pieces.grant(self._token, owed)
        except LayerUnavailable as error:
            self._owed += owed
            self._faults.note("layer_unavailable", "%s Responses under way wait.", error)
            await asyncio.sleep(_AGAIN)

    # to the client

    async def send_all(self) -> None:
        """Send the response as it comes, to its end.

        Raises:
            Ended: no more comes, or the client does not read.
        """
        while self._head is None:
            await self._await_news("http_timeout")
        head, headers = self._head, list(self._head.headers)
        if not (head.has_length or self.progress.bodiless):
            # HTTP/1.0 knows no chunks: the length must be known first
            while not (self._knows_chunks or self._is_done):
                await self._await_news("response_stalled")
            if self._is_done:
                headers.append((b"content-length", str(self._spool.size).encode()))
        self.has_begun = True
        if not self._is_done or self._spool.size > _SENT:
            hold_little(self._send, _SENT)
        await self._put({"type": "http.response.start", "status": head.status, "headers": headers})
        while True:
            data = await self._spool.take(_SENT)
            ends = self._is_done and not self._spool.size
            if data or ends:
                await self._put({"type": "http.response.body", "body": data, "more_body": not ends})
            if ends:
                return
            self._tend()
            if not self._spool.size:
                await self._await_news("response_stalled")

    @property
    def _is_done(self) -> bool:
        return self.progress.state is http.State.DONE

    async def _await_news(self, end: str) -> None:
        try:
            async with asyncio.timeout(self._config.http_timeout):
                await self._news.wait()
        except TimeoutError:
            raise Ended(end) from None
        self._news.clear()

    async def _put(self, event: Event) -> None:
        if (rest := begin(self._send(event))) is None:
            return
        try:
            async with asyncio.timeout(self._config.send_timeout):
                await rest
        except TimeoutError:
            raise Ended("send_timeout") from None

    async def close(self) -> None:
        """Let go of what is held."""
        if self._keeper is not None:
            self._keeper.cancel()
        await self._spool.close()
