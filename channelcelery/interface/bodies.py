"""How large and how slow the body of an HTTP request may be: ASGI servers and Django's handler leave both open."""

import asyncio
from typing import Any

from channelcelery.interface.answers import answer
from channelcelery.interface.events import Event, Receive, Scope, Send
from channelcelery.interface.faults import Faults

__all__ = ["Body", "BoundedBodies", "HttpApplication", "Limits"]

#: An ASGI application for connections of type "http".
HttpApplication = Any

_TOO_LARGE, _TOO_SLOW = 413, 408


class Limits:
    """What a request's body may be.

    Args:
        size: bytes of a body.
        timeout: seconds between two pieces of a body.
        faults: where requests that break them are counted.
    """

    def __init__(self, size: int, timeout: float, faults: Faults) -> None:
        self.size = size
        self.timeout = timeout
        self._faults = faults

    def body(self, scope: Scope, receive: Receive) -> "Body":
        """Return the body of a request; what its Content-Length says is looked at at once."""
        body = Body(receive, self.size, self.timeout)
        if _length(scope) > self.size:
            body.fault = _TOO_LARGE
        return body

    async def refuse(self, status: int, scope: Scope, send: Send | None) -> None:
        """Count a body that broke a limit, and answer its request.

        Args:
            status: 413 or 408.
            scope: the server's description of the request.
            send: the server's, or None if something was answered already.
        """
        reason, key = ("too large", "body_size") if status == _TOO_LARGE else ("too slow", "body_timeout")
        self._faults.note(key, "the body of a request for %.200a is %s: see CONFIG[%r]", scope["path"], reason, key)
        if send is not None:
            await answer(status, scope, send)


class BoundedBodies:
    """Ends a request whose body is too large (413) or too slow (408); its application sees a disconnect.

    Args:
        application: answers requests.
        limits: what bodies may be.
    """

    def __init__(self, application: HttpApplication, limits: Limits) -> None:
        self.application = application
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = self._limits.body(scope, receive)
        if (fault := body.fault) is not None:
            await self._limits.refuse(fault, scope, send)
            return
        answered = False

        async def send_noting(event: Event) -> None:
            nonlocal answered
            answered = True
            await send(event)

        await self.application(scope, body.receive, send_noting)
        if body.fault is not None:
            await self._limits.refuse(body.fault, scope, None if answered else send)


class Body:
    """The way in of one request, until its body is complete.

    Args:
        receive: the server's.
        size: bytes that may come.
        timeout: seconds between two pieces.
    """

    def __init__(self, receive: Receive, size: int, timeout: float) -> None:
        #: the status of what was wrong with it
        self.fault: int | None = None
        self.complete = False
        self._receive = receive
        self._left = size
        self._timeout = timeout

    async def receive(self) -> Event:
        """Return the server's next event, or a disconnect where the body breaks a limit."""
        if self.complete:  # what comes is a disconnect, whenever
            return await self._receive()
        if self.fault is None:
            try:
                async with asyncio.timeout(self._timeout):
                    event = await self._receive()
            except TimeoutError:
                self.fault = _TOO_SLOW
            else:
                self._left -= len(event.get("body", b""))
                if self._left >= 0:
                    self.complete = event["type"] == "http.request" and not event.get("more_body", False)
                    return event
                self.fault = _TOO_LARGE
        return {"type": "http.disconnect"}


def _length(scope: Scope) -> int:
    """Return what a request's Content-Length says, or 0; the server refuses one that is no number."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    # 20 digits are above every limit; Python makes no number of thousands
    return max((int(value.lstrip(b"0")[:20] or b"0") for value in values if value.isdigit()), default=0)
