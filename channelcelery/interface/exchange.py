"""One HTTP request that a worker answers: it becomes a message, and replies become the response (items 90 to 97)."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from channelcelery.core import http
from channelcelery.core.envelope import encode_content
from channelcelery.core.names import HTTP_PREFIX, ReplyAddress
from channelcelery.core.websocket import State
from channelcelery.exceptions import ChannelFull, LayerUnavailable
from channelcelery.interface.answers import answer
from channelcelery.interface.events import Event, Plan, Receive, Scope, Send
from channelcelery.interface.faults import logger
from channelcelery.interface.outlet import begin, transport_of
from channelcelery.interface.request import IN_MESSAGE, request_content
from channelcelery.interface.spool import Spool
from channelcelery.interface.surroundings import Surroundings
from channelcelery.layers.base import GONE, MAX_PIECES

__all__ = ["Exchange"]

#: Bytes of randomness in a reply channel's name: 128 bits.
_TOKEN_BYTES = 16
#: Bytes of a response that are held in memory.
_IN_MEMORY = 256 * 1024
#: Bytes that are handed to the server at a time: what a client must take within CONFIG["send_timeout"].
_SENT = 64 * 1024
#: Pieces that a worker is told of in one call, well before it runs out.
_GRANTED = MAX_PIECES // 2
#: Seconds between two tries to put a piece of a body where eight wait, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.005, 0.05
#: Seconds between two tries to reach a Redis that is away.
_AGAIN = 0.5
#: Seconds for the server to take a last answer, or to notice the end of a connection that was aborted.
_SETTLE = 1.0

_STARTED, _DONE = http.State.STARTED, http.State.DONE
#: What ended an exchange before its response was complete, with the text for the log.
_ENDS: Mapping[str, str] = {
    "client_gone": "the client of %.200a left before it had its response",
    "http_timeout": "no worker answered %.200a in CONFIG['http_timeout']: does one run, and a route match?",
    "response_stalled": "the response of %.200a stopped in the middle: nothing came for CONFIG['http_timeout']",
    "send_timeout": "the client of %.200a does not read its response (CONFIG['send_timeout'])",
    "bad_response": "the response of %.200a was ended: it cannot be mended",
    "data_lost": "the request for %.200a was ended: the channel layer's Redis lost or refused a part of it",
    "going_down": "the request for %.200a was ended: this interface process goes down or begins anew",
}


class _Ended(Exception):
    """The response cannot be completed, for one of `_ENDS`."""


class Exchange:
    """The life of one request, from its `http.request` to the end of its response.

    Args:
        around: what it shares with others.
        scope: the server's description of the request.
        send: the server's, for events.
        body: the request's, complete.
    """

    #: To the hub it is a socket that nobody accepted: every reply and group send is for it to judge.
    state = State.CONNECTING

    def __init__(self, around: Surroundings, scope: Scope, send: Send, body: Spool) -> None:
        self.token = HTTP_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        self.path: str = scope["path"]
        self._around, self._scope, self._send, self._body = around, scope, send, body
        self._address = ReplyAddress(around.node.name, self.token)
        self._pieces = around.node.pieces
        self._progress = http.Progress(bodiless=scope["method"] == "HEAD")
        self._head: http.Head | None = None
        self._spool = Spool(around.room, _IN_MEMORY)
        self._news = asyncio.Event()
        self._owed = 0  # pieces taken that the worker was not told of
        self._asks_for_body = self._began = self._completed = self._cut = self._quiet = False
        self._end: str | None = None
        self._task: asyncio.Task[Any] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._feeder: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Publish the request; only then is there anything to run.

        Raises:
            ChannelFull: there is no room for it.
            InvalidContent: it cannot travel.
        """
        body = None
        if self._body.size <= self._piece_size:
            body = b""
            while self._body.size:
                body += await self._body.take(IN_MESSAGE)
        self._asks_for_body = body is None
        item = self._around.intake.encode(request_content(self._scope, self._address, body))
        # held first, since the answer may come at once
        self._around.hub.add(self)
        try:
            self._around.intake.offer("http.request", item)
        except ChannelFull:
            self._around.hub.remove(self.token)
            raise

    @property
    def _piece_size(self) -> int:
        return min(IN_MESSAGE, self._around.config.message_size // 2)

    async def run(self, receive: Receive) -> None:
        """Answer with what comes, until the response is complete or cannot become so.

        Args:
            receive: the server's.
        """
        self._task = asyncio.current_task()
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._respond()
            self._completed = True
        except _Ended as ended:
            self._end = str(ended)
        except asyncio.CancelledError:
            # the server cancels what is under way when it goes down
            self._end = self._end or "going_down"
            if self._task is not None:
                self._task.uncancel()
        except Exception:  # a server may raise anything for a client that is gone
            self._end = self._end or "client_gone"
            logger.debug("a response could not be sent", exc_info=True)
        self._task = None
        if not self._completed:
            await self._give_up(watcher)
        watcher.cancel()
        await self._let_go()
        self._around.hub.remove(self.token)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stop("client_gone")

    def _stop(self, end: str) -> None:
        """End it, for one of `_ENDS`; nothing happens once it is over."""
        if self._task is not None and self._end is None:
            self._end = end
            self._task.cancel()

    # what the client gets

    async def _respond(self) -> None:
        while self._head is None:
            await self._await_news("http_timeout")
        headers = list(self._head.headers)
        if not (self._head.has_length or self._progress.bodiless):
            # HTTP/1.0 knows no chunks: the length must be known first
            while self._progress.state is not _DONE and self._scope["http_version"] == "1.0":
                await self._await_news("response_stalled")
            if self._progress.state is _DONE:
                headers.append((b"content-length", str(self._spool.size).encode()))
        self._began = True
        await self._put({"type": "http.response.start", "status": self._head.status, "headers": headers})
        while True:
            data = await self._spool.take(_SENT)
            ends = self._progress.state is _DONE and not self._spool.size
            if data or ends:
                await self._put({"type": "http.response.body", "body": data, "more_body": not ends})
            if ends:
                return
            self._tend()
            if not self._spool.size:
                await self._await_news("response_stalled")

    async def _await_news(self, end: str) -> None:
        try:
            async with asyncio.timeout(self._around.config.http_timeout):
                await self._news.wait()
        except TimeoutError:
            raise _Ended(end) from None
        self._news.clear()

    async def _put(self, event: Event) -> None:
        if (rest := begin(self._send(event))) is None:
            return
        try:
            async with asyncio.timeout(self._around.config.send_timeout):
                await rest
        except TimeoutError:
            raise _Ended("send_timeout") from None

    async def _give_up(self, watcher: asyncio.Task[None]) -> None:
        """Tell the client, as far as that is possible, and whoever may wait for it."""
        end = self._end or "client_gone"
        level = logging.DEBUG if end == "client_gone" else logging.WARNING
        self._around.faults.note(end, _ENDS[end], self.path, level=level)
        if end == "client_gone":
            return
        if not self._began:
            with contextlib.suppress(Exception):  # it may be gone
                async with asyncio.timeout(_SETTLE):
                    await answer(500 if end == "bad_response" else 503, self._scope, self._send)
        elif (transport := transport_of(self._send)) is not None:
            # an end in order would pass for the end of the response
            transport.abort()
            await asyncio.wait({watcher}, timeout=_SETTLE)

    async def _let_go(self) -> None:
        for task in (self._keeper, self._feeder):
            if task is not None:
                task.cancel()
        await self._spool.close()
        await self._body.close()
        if self._completed:
            if self._cut:
                self._around.errands.send(self._pieces.grant(self.token, GONE))
            if self._feeder is not None:
                self._around.errands.send(self._pieces.drop_pieces(self.token))
            return
        self._around.errands.send(self._tell_gone())
        if not self._quiet:
            content = {"reply_channel": self._address.channel(), "path": self.path}
            self._around.intake.offer_late("http.disconnect", content)

    async def _tell_gone(self) -> None:
        if self._asks_for_body:
            await self._pieces.drop_pieces(self.token)
            await self._pieces.put_body(self.token, encode_content({"closed": True}, IN_MESSAGE))
        await self._pieces.grant(self.token, GONE)

    # what workers send

    def deliver(self, reply: Mapping[str, Any]) -> None:
        """Do what a reply asks for, or log what is wrong with it (item 92)."""
        if self._task is None:
            return  # it is over, and about to be let go (item 63)
        match http.decide(self._progress, reply):
            case http.SendBody():
                if self._asks_for_body and self._feeder is None:
                    self._feeder = asyncio.create_task(self._feed())
            case http.Fault(reason, ends):
                text = "a reply for the request of %.200a was dropped: %s"
                self._around.faults.note("bad_reply", text, self.path, reason)
                if ends:
                    self._stop("bad_response")
            case http.Step(progress, head, content):
                self._head = self._head or head
                self._cut = self._cut or (progress.bodiless and reply.get("more_content") is True)
                self._owed += progress.state is _STARTED
                self._progress = progress
                self._spool.put(content)
                # first, so that who sends comes before who puts it into a file
                self._news.set()
                self._tend()

    def _tend(self) -> None:
        """Have pieces moved to a file and the worker told that it may send more, if need be."""
        if self._keeper is None and (self._may_grant or not self._spool.is_settled):
            self._keeper = asyncio.create_task(self._keep())

    @property
    def _may_grant(self) -> bool:
        return self._owed >= _GRANTED and self._spool.size < self._around.config.response_spool

    async def _keep(self) -> None:
        try:
            while await self._spool.settle() and self._may_grant:
                owed, self._owed = self._owed, 0
                try:
                    await self._pieces.grant(self.token, owed)
                except LayerUnavailable as error:
                    self._owed += owed
                    self._around.faults.note("layer_unavailable", "%s Responses under way wait.", error)
                    await asyncio.sleep(_AGAIN)
        except Exception:
            self._around.faults.note("spool_error", "a response could not be held", trace=True)
            self._stop("bad_response")
        finally:
            self._keeper = None

    async def _feed(self) -> None:
        """Put the request's body where the worker takes it (item 91)."""
        try:
            while True:
                content = await self._body.take(self._piece_size)
                more = self._body.size > 0
                await self._put_piece(encode_content({"content": content, "more_content": more}, 2 * IN_MESSAGE))
                if not more:
                    return
        except LayerUnavailable:
            # it may be there or not, and a body with a hole, or twice the same, must not pass for the client's
            self._stop("data_lost")
        except Exception:
            self._around.faults.note("spool_error", "a body could not be handed on", trace=True)
            self._stop("data_lost")

    async def _put_piece(self, content: bytes) -> None:
        pause = _FIRST_PAUSE
        while not await self._pieces.put_body(self.token, content):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    # what the hub asks of what it holds

    def execute(self, plan: Plan) -> None:
        """Do nothing: plans are for sockets."""

    def close(self, code: int, *, quietly: bool = False) -> None:
        """End it, with 503 if nothing was sent yet.

        Args:
            code: for sockets.
            quietly: whether another process publishes its disconnect.
        """
        self._quiet = self._quiet or quietly
        self._stop("going_down")

    def lose(self) -> None:
        """End it if a part of what was under way may be lost."""
        if self._progress.state is not http.State.WAITING or self._feeder is not None:
            self._stop("data_lost")

    def sweep(self) -> None:
        """End it if its connection is gone; servers do not tell of a client that has sent its next request already."""
        is_closing = getattr(transport_of(self._send), "is_closing", None)
        if is_closing is not None and is_closing():
            self._stop("client_gone")

    def end(self) -> None:
        """Let go of it, whatever its server and client still wait for."""
        self._stop("going_down")
