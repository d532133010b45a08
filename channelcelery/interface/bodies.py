"""How large and how slow the body of an HTTP request may be: ASGI servers and Django's handler leave both open."""

import asyncio
from typing import Any

from channelcelery.interface.events import Event, Receive, Scope, Send
from channelcelery.interface.faults import Faults

__all__ = ["BoundedBodies", "HttpApplication"]

#: An ASGI application for connections of type "http".
HttpApplication = Any

_TOO_LARGE, _TOO_SLOW = 413, 408
_SAYS = {
    _TOO_LARGE: b"The body is too large.\n",
    _TOO_SLOW: b"The body did not come in time.\n",
}


class BoundedBodies:
    """Ends a request whose body is too large (413) or too slow (408); its application sees a disconnect.

    Args:
        application: answers requests.
        size: bytes of a body.
        timeout: seconds between two pieces of a body.
        faults: where such requests are counted.
    """

    def __init__(self, application: HttpApplication, size: int, timeout: float, faults: Faults) -> None:
        self.application = application
        self._size = size
        self._timeout = timeout
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _length(scope) > self._size:
            await self._refuse(_TOO_LARGE, scope, send)
            return
        body = _Body(receive, self._size, self._timeout)
        answered = False

        async def send_noting(event: Event) -> None:
            nonlocal answered
            answered = True
            await send(event)

        await self.application(scope, body.receive, send_noting)
        if body.fault is not None:
            await self._refuse(body.fault, scope, None if answered else send)

    async def _refuse(self, status: int, scope: Scope, send: Send | None) -> None:
        reason, key = ("too large", "body_size") if status == _TOO_LARGE else ("too slow", "body_timeout")
        self._faults.note(key, "the body of a request for %.200a is %s: see CONFIG[%r]", scope["path"], reason, key)
        if send is None:
            return
        says = _SAYS[status]
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(says)).encode()),
            # or the server would go on reading what is left of the body
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": says})


class _Body:
    """The way in of one request, until its body is complete; `fault` is the status of what was wrong with it."""

    def __init__(self, receive: Receive, size: int, timeout: float) -> None:
        self._receive = receive
        self._left = size
        self._timeout = timeout
        self._complete = False
        self.fault: int | None = None

    async def receive(self) -> Event:
        if self._complete:  # what comes is a disconnect, whenever
            return await self._receive()
        if self.fault is None:
            try:
                async with asyncio.timeout(self._timeout):
                    event = await self._receive()
            except TimeoutError:
                self.fault = _TOO_SLOW
            else:
                self._left -= len(event.get("body", b""))
                self._complete = not event.get("more_body", False)
                if self._left >= 0:
                    return event
                self._complete = False
                self.fault = _TOO_LARGE
        return {"type": "http.disconnect"}


def _length(scope: Scope) -> int:
    """Return what a request's Content-Length says, or 0; the server refuses one that is no number."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(value) for value in values if value.isdigit()), default=0)
