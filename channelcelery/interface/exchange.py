"""One HTTP request that a worker answers: it becomes a message, and replies become the response (items 90 to 97)."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

from channelcelery.core import http
from channelcelery.core.names import HTTP_PREFIX, ReplyAddress
from channelcelery.core.websocket import State
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.answers import answer
from channelcelery.interface.events import Plan, Receive, Scope, Send
from channelcelery.interface.faults import logger
from channelcelery.interface.feed import Feed
from channelcelery.interface.outlet import transport_of
from channelcelery.interface.request import IN_MESSAGE, request_content
from channelcelery.interface.response import Ended, Response
from channelcelery.interface.spool import Spool
from channelcelery.interface.surroundings import Surroundings
from channelcelery.layers.pieces import GONE

__all__ = ["ENDS", "Exchange"]

#: Bytes of randomness in a reply channel's name: 128 bits.
_TOKEN_BYTES = 16
#: Seconds for the server to take a last answer, or to notice the end of a connection that was aborted.
_SETTLE = 1.0

#: What ends an exchange before its response is complete, with the text for the log.
ENDS: Mapping[str, str] = {
    "client_gone": "the client of %.200a left before it had its response",
    "http_timeout": "no worker answered %.200a in CONFIG['http_timeout']: does one run, and a route match?",
    "response_stalled": "the response of %.200a stopped in the middle: nothing came for CONFIG['http_timeout']",
    "send_timeout": "the client of %.200a does not read its response (CONFIG['send_timeout'])",
    "bad_response": "the response of %.200a was ended: it cannot be mended",
    "data_lost": "the request for %.200a was ended: the channel layer's Redis lost or refused a part of it",
    "going_down": "the request for %.200a was ended: this interface process goes down or begins anew",
}


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
        self._response = Response(
            around.config, around.room, self._pieces, around.faults, self.token, scope, send, self._stop
        )
        self._feed: Feed | None = None  # for a body that does not fit the message
        self._completed = self._quiet = False
        self._end: str | None = None
        self._task: asyncio.Task[Any] | None = None

    async def begin(self) -> None:
        """Publish the request; only then is there anything to run.

        Raises:
            ChannelFull: there is no room for it.
            InvalidContent: it cannot travel.
        """
        around, body = self._around, None
        size = min(IN_MESSAGE, around.config.message_size // 2)
        if self._body.size > size:
            lost = partial(self._stop, "data_lost")
            self._feed = Feed(self._pieces, self.token, self._body, size, around.faults, lost, around.turns)
            await self._feed.wait()
        else:
            body = b""
            while self._body.size:
                body += await self._body.take(size)
        try:
            item = around.intake.encode(request_content(self._scope, self._address, body))
            # held first, since the answer may come at once
            around.hub.add(self)
            around.intake.offer("http.request", item)
        except (InvalidContent, ChannelFull):
            around.hub.remove(self.token)
            if self._feed is not None:
                self._feed.stop()
            raise

    async def run(self, receive: Receive) -> None:
        """Answer with what comes, until the response is complete or cannot become so.

        Args:
            receive: the server's.
        """
        self._task = asyncio.current_task()
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._response.send_all()
            self._completed = True
        except Ended as ended:
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
        """End it, for one of `ENDS`; nothing happens once it is over."""
        if self._task is not None and self._end is None:
            self._end = end
            self._task.cancel()

    # after its end

    async def _give_up(self, watcher: asyncio.Task[None]) -> None:
        """Tell the client, as far as that is possible."""
        end = self._end or "client_gone"
        level = logging.DEBUG if end == "client_gone" else logging.WARNING
        self._around.faults.note(end, ENDS[end], self.path, level=level)
        if end == "client_gone":
            return
        if not self._response.has_begun:
            with contextlib.suppress(Exception):  # it may be gone
                async with asyncio.timeout(_SETTLE):
                    await answer(500 if end == "bad_response" else 503, self._scope, self._send)
        elif (transport := transport_of(self._send)) is not None:
            # an end in order would pass for the end of the response
            transport.abort()
            await asyncio.wait({watcher}, timeout=_SETTLE)

    async def _let_go(self) -> None:
        """Tell the worker and consumers, as far as they are concerned."""
        await self._response.close()
        if self._feed is not None:
            self._feed.stop()
        await self._body.close()
        errands = self._around.errands
        if not self._completed:
            errands.send(self._tell_gone())
            if not self._quiet:
                content = {"reply_channel": self._address.channel(), "path": self.path}
                self._around.intake.offer_late("http.disconnect", content)
            return
        if self._response.is_cut:
            errands.send(self._pieces.grant(self.token, GONE))
        if self._feed is not None and self._feed.has_begun:
            errands.send(self._feed.drop())

    async def _tell_gone(self) -> None:
        if self._feed is not None:
            await self._feed.close()
        await self._pieces.grant(self.token, GONE)

    # what the hub asks of what it holds

    def deliver(self, reply: Mapping[str, Any]) -> None:
        """Do what a reply asks for, or log what is wrong with it (item 92)."""
        if self._task is None:
            return  # it is over, and about to be let go (item 63)
        match http.decide(self._response.progress, reply):
            case http.Step() as step:
                self._response.take(step, reply)
            case http.SendBody():
                if self._feed is not None:
                    self._feed.begin()
            case http.Fault(reason, ends):
                text = "a reply for the request of %.200a was dropped: %s"
                self._around.faults.note("bad_reply", text, self.path, reason)
                if ends:
                    self._stop("bad_response")

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
        if self._response.progress.state is not http.State.WAITING or (self._feed is not None and self._feed.has_begun):
            self._stop("data_lost")

    def sweep(self) -> None:
        """End it if its connection is gone; servers do not tell of a client that has sent its next request already."""
        is_closing = getattr(transport_of(self._send), "is_closing", None)
        if is_closing is not None and is_closing():
            self._stop("client_gone")

    def end(self) -> None:
        """Let go of it, whatever its server and client still wait for."""
        self._stop("going_down")
