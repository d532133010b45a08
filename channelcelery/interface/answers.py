"""What the interface process answers to HTTP by itself: refusals, and that nobody answered."""

from collections.abc import Mapping

from channelcelery.interface.events import RETRY_AFTER, Scope, Send

__all__ = ["answer"]

_SAYS: Mapping[int, bytes] = {
    400: b"The request cannot be understood.\n",
    404: b"This process serves WebSockets only (CONFIG['http'] is 'off').\n",
    408: b"The body did not come in time.\n",
    413: b"The body is too large.\n",
    500: b"Internal Server Error\n",
    503: b"There is no answer now; try again.\n",
}
#: Statuses of requests that were read to their end: the connection can take the next one.
_GOES_ON = frozenset({404})


async def answer(status: int, scope: Scope, send: Send) -> None:
    """Answer a request with a status and a short text, and end the connection, as most of a body may be unread.

    Args:
        status: 400, 404, 408, 413, 500 or 503.
        scope: the server's description of the request.
        send: the server's, for events.
    """
    says = _SAYS[status]
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(says)).encode())]
    if status == 503:
        headers.append((b"retry-after", RETRY_AFTER))
    if status not in _GOES_ON:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else says})
