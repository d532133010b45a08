"""What a reply does to an HTTP response: pure decisions over how far it has come (Channels 1.x, item 92)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

__all__ = ["Fault", "Head", "Progress", "SendBody", "State", "Step", "decide"]


class State(Enum):
    """How far a response has come."""

    WAITING = "waiting"  #: nothing came yet
    STARTED = "started"  #: status and headers came, and more content follows
    DONE = "done"  #: all of it came: what follows is ignored


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a response.

    Args:
        state: how far it has come.
        bodiless: whether its content goes nowhere: the answer to a HEAD, or a status that has none.
        left: bytes that its Content-Length announced and that did not come yet; None without one.
    """

    state: State = State.WAITING
    bodiless: bool = False
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What a response begins with.

    Args:
        status: 200 to 599.
        headers: pairs of name and value, in order, without those that are for one connection only.
        has_length: whether there is a Content-Length among them.
        paced: whether the worker has time to wait until the client has read what it was sent.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    has_length: bool
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The response goes on.

    Args:
        progress: what is known from now on.
        head: with the first reply.
        content: the next bytes of the body.
    """

    progress: Progress
    head: Head | None = None
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class SendBody:
    """A worker begins to read the request's body."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A reply that cannot be used.

    Args:
        reason: for the log, with the names of keys but no values.
        ends: whether the response is beyond mending; else the reply is dropped, and another may follow.
    """

    reason: str
    ends: bool = False


#: "paced" is between our workers and interface processes, the others are those of item 92.
_FIRST = frozenset({"status", "headers", "content", "more_content", "paced"})
#: Only for one connection (RFC 9110, section 7.6.1): the server says them itself.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
#: Statuses whose responses end with their headers (RFC 9110, sections 15.3.5 and 15.4.5).
_BODILESS = frozenset({204, 304})
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_WRONG_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,18}")


def decide(progress: Progress, reply: Mapping[Any, Any]) -> Step | SendBody | Fault:
    """Return what a reply does to a response, or what is wrong with it; total over any mapping.

    Args:
        progress: how far the response has come.
        reply: what was sent to the reply channel.
    """
    if progress.state is State.DONE:
        return Step(progress)
    if reply.get("send_body") is True:
        return SendBody()
    if reply.get("closed") is True:
        return Fault("the worker could not complete it", ends=True)
    if unknown := reply.keys() - _FIRST:
        names = ", ".join(sorted(f"{key!r:.50}" for key in unknown)[:10])
        return Fault(f"it has the unknown keys {names}: a response has status, headers, content and more_content")
    if progress.state is State.STARTED:
        if reply.get("status") is not None:
            return Fault("it has a 'status', but the response has begun already")
        return _go_on(progress, None, reply)
    if reply.get("status") is None:
        return Fault("the first one of a response needs a 'status'")
    head = _head(reply)
    if isinstance(head, str):
        return Fault(head, ends=True)
    bodiless = progress.bodiless or head.status in _BODILESS
    return _go_on(Progress(State.STARTED, bodiless, None if bodiless else _length(head.headers)), head, reply)


def _go_on(progress: Progress, head: Head | None, reply: Mapping[Any, Any]) -> Step | Fault:
    content, more = reply.get("content"), reply.get("more_content")
    if not isinstance(content, bytes | None):
        return Fault(f"'content' is {type(content).__name__}, it must be bytes", ends=True)
    if not isinstance(more, bool | None):
        return Fault(f"'more_content' is {type(more).__name__}, it must be True or False", ends=True)
    if progress.bodiless:
        # nothing of what may follow is for the client
        return Step(replace(progress, state=State.DONE), head)
    content, left = content or b"", progress.left
    if left is not None:
        left -= len(content)
        if left < 0 or (left and not more):
            return Fault(f"the content is {'longer' if left < 0 else 'shorter'} than its Content-Length", ends=True)
    return Step(Progress(State.STARTED if more else State.DONE, left=left), head, content)


def _head(reply: Mapping[Any, Any]) -> Head | str:
    status, given = reply["status"], reply.get("headers")
    if type(status) is not int:
        return f"'status' is {type(status).__name__}, it must be a number"
    if not 200 <= status <= 599:
        return "'status' must be 200 to 599"
    if not isinstance(given, list | tuple | None):
        return f"'headers' is {type(given).__name__}, it must be a list of [name, value] pairs"
    headers: list[tuple[bytes, bytes]] = []
    for header in given or ():
        if not isinstance(header, list | tuple) or len(header) != 2:
            return "'headers' must be [name, value] pairs"
        name, value = map(_as_bytes, header)
        if name is None or value is None:
            return "'headers' must be [name, value] pairs of bytes, or of text that is Latin-1"
        if not _NAME.fullmatch(name):
            return f"the header name {name!r:.50} has characters that no name has"
        if _WRONG_IN_VALUE.search(value):
            return f"the header {name!r:.50} has a line break or another control character"
        if name.lower() not in _HOP_BY_HOP and not (status in _BODILESS and name.lower() == b"content-length"):
            headers.append((name, value))
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        return "its Content-Length is no number, or there are several"
    return Head(status, tuple(headers), bool(lengths), reply.get("paced") is True)


def _as_bytes(part: object) -> bytes | None:
    """Return a name or a value as bytes; servers of Channels 1.x took text too."""
    if isinstance(part, str):
        try:
            return part.encode("latin-1")
        except UnicodeEncodeError:
            return None
    return part if isinstance(part, bytes) else None


def _length(headers: tuple[tuple[bytes, bytes], ...]) -> int | None:
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), None)
