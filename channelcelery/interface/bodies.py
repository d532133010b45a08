"""How large and how slow the body of an HTTP request may be: ASGI servers and Django's handler leave both open."""

import asyncio
from typing import Any

from channelcelery.interface.answers import answer
from channelcelery.interface.events import Event, Receive, Scope, Send
from channelcelery.interface.faults import Faults

__all__ = ["Body", "BoundedBodies", "HttpApplication", "Limits"]

#: An ASGI application for connections of type "http".
HttpApplication = Any

#: The status for a body that breaks a limit, by the limit's key in CONFIG.
_STATUS = {"body_size": 413, "body_timeout": 408, "body_rate": 408}


class Limits:
    """What a request's body may be.

    Args:
        size: bytes of a body.
        timeout: seconds between two pieces of a body.
        rate: bytes a second at which a body comes at least, but for `timeout` seconds in all.
        faults: where requests that break them are counted.
    """

    def __init__(self, size: int, timeout: float, rate: float, faults: Faults) -> None:
        self.size = size
        self.timeout = timeout
        self.rate = rate
        self._faults = faults

    def body(self, scope: Scope, receive: Receive) -> "Body":
        """Return the body of a request; what its Content-Length says is looked at at once."""
        body = Body(receive, self.size, self.timeout, self.rate)
        if _length(scope) > self.size:
            body.fault = "body_size"
        return body

    async def refuse(self, fault: str, scope: Scope, send: Send | None) -> None:
        """Count a body that broke a limit, and answer its request: 413 for one that is too large, or 408.

        Args:
            fault: the limit's key in CONFIG.
            scope: the server's description of the request.
            send: the server's, or None if something was answered already.
        """
        status = _STATUS[fault]
        says = "too large" if status == 413 else "too slow"
        self._faults.note(fault, "the body of a request for %.200a is %s: see CONFIG[%r]", scope["path"], says, fault)
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
        if not _may_have_body(scope):
            await self.application(scope, receive, send)
            return
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

    Its client has `timeout` seconds to be late: each wait takes of them, and each piece gives back what it may take at
    `rate`. So neither a pause nor one byte now and then holds a connection for long. While nobody reads, none pass.

    Args:
        receive: the server's.
        size: bytes that may come.
        timeout: seconds between two pieces.
        rate: bytes a second.
    """

    def __init__(self, receive: Receive, size: int, timeout: float, rate: float) -> None:
        #: the key in CONFIG of the limit that it broke
        self.fault: str | None = None
        self.complete = False
        self._receive = receive
        self._left = size
        self._timeout = self._patience = timeout
        self._rate = rate

    async def receive(self) -> Event:
        """Return the server's next event, or a disconnect where the body breaks a limit."""
        if self.complete:  # what comes is a disconnect, whenever
            return await self._receive()
        if self.fault is None:
            clock = asyncio.get_running_loop().time
            asked = clock()
            try:
                async with asyncio.timeout(self._patience):
                    event = await self._receive()
            except TimeoutError:
                self.fault = "body_timeout" if self._patience >= self._timeout else "body_rate"
            else:
                size = len(event.get("body", b""))
                self._patience = min(self._patience - (clock() - asked) + size / self._rate, self._timeout)
                self._left -= size
                if self._left >= 0:
                    self.complete = event["type"] == "http.request" and not event.get("more_body", False)
                    return event
                self.fault = "body_size"
        return {"type": "http.disconnect"}


def _may_have_body(scope: Scope) -> bool:
    """Tell whether a body may come: in HTTP/1 these headers say so (RFC 9112, section 6.3)."""
    if scope.get("http_version") not in ("1.0", "1.1"):
        return True
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def _length(scope: Scope) -> int:
    """Return what a request's Content-Length says, or 0; the server refuses one that is no number."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    # 20 digits are above every limit; Python makes no number of thousands
    return max((int(value.lstrip(b"0")[:20] or b"0") for value in values if value.isdigit()), default=0)
