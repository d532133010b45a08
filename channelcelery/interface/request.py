"""An HTTP request before anyone runs: whether it can be understood, its body, and the message that it becomes."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

from channelcelery.core.names import ReplyAddress
from channelcelery.interface.bodies import Body
from channelcelery.interface.events import Scope
from channelcelery.interface.spool import Spool

__all__ = ["FORWARDED", "IN_MESSAGE", "Arrival", "head_fault", "read_body", "refusal", "request_content"]

#: Bytes of a body that travels within the message; a larger one goes to the worker that asks for it.
IN_MESSAGE = 256 * 1024

#: Headers of which a second one would let two servers read two different requests (RFC 9112, section 11.2).
_ONCE = (b"host", b"content-length", b"transfer-encoding")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is allowed (RFC 9110, section 5.5)
#: Headers in which a proxy says what it heard, in lower case.
FORWARDED = re.compile(rb"x-forwarded-[a-z-]+|forwarded|x-real-ip")


class Arrival(Enum):
    """What became of a request's body."""

    COMPLETE = "complete"
    BROKEN = "broken"  #: too large or too slow: `Body.fault` tells which
    GONE = "gone"  #: the client left
    NO_ROOM = "no room"  #: neither memory nor disk could take it


def refusal(scope: Scope) -> str | None:
    """Return why a request cannot be understood, for the log, or None (item 111).

    Args:
        scope: the server's description of the request.
    """
    if raw_path := scope.get("raw_path"):
        if not raw_path.isascii():
            return "its path has characters beyond ASCII"
        try:
            unquote_to_bytes(raw_path).decode()
        except UnicodeDecodeError:
            return "its path is no UTF-8"
    return head_fault(scope["headers"], scope["http_version"])


def head_fault(headers: Iterable[tuple[bytes, bytes]], version: str) -> str | None:
    """Return what is wrong with the headers of a request, for the log, or None.

    Args:
        headers: as in an ASGI scope.
        version: of HTTP.
    """
    seen: set[bytes] = set()
    for name, value in headers:
        if _CONTROL.search(value):
            return f"its header {name!r:.50} holds control characters"
        if (known := name.lower()) in _ONCE:
            if known in seen:
                return f"it has several {known.decode()} headers"
            seen.add(known)
            if known == b"transfer-encoding" and value.strip().lower() != b"chunked":
                return "it has a transfer encoding that is not chunked"
    if b"content-length" in seen and b"transfer-encoding" in seen:
        return "it says its length in two ways"
    if version == "1.1" and b"host" not in seen:
        return "it has no host header"
    return None


async def read_body(body: Body, spool: Spool) -> Arrival:
    """Read the whole body of a request, so that no worker waits for a slow client.

    Args:
        body: the way in.
        spool: takes it.
    """
    while not body.complete:
        event = await body.receive()
        if event["type"] != "http.request":
            return Arrival.GONE if body.fault is None else Arrival.BROKEN
        spool.put(event.get("body", b""))
        if not (spool.is_settled or await spool.settle()):
            return Arrival.NO_ROOM
    return Arrival.COMPLETE


def request_content(scope: Scope, address: ReplyAddress, body: bytes | None) -> dict[str, Any]:
    """Return the message of a request (item 90); headers with `_` are left out, as they pass for others (item 111).

    Args:
        scope: the server's description of the request.
        address: where its answer goes.
        body: the whole of it, or None if it is to be asked for.
    """
    client, server = scope.get("client"), scope.get("server")
    return {
        "reply_channel": address.channel(),
        "http_version": scope["http_version"],
        "method": scope["method"].upper(),
        "scheme": scope.get("scheme") or "http",
        "path": scope["path"],
        "query_string": scope.get("query_string") or b"",
        "root_path": scope.get("root_path") or "",
        "headers": [[name.lower(), value] for name, value in scope["headers"] if b"_" not in name],
        "body": body or b"",
        "body_channel": address.body_channel() if body is None else None,
        "client": list(client) if client else None,
        "server": list(server) if server else None,
    }
