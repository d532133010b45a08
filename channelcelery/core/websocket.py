"""What a reply does to a socket: pure decisions over the state it is in (Channels 1.x, items 118 to 124)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = [
    "Accept",
    "Action",
    "Close",
    "Refuse",
    "SendBytes",
    "SendText",
    "State",
    "above_limit",
    "answers",
    "choose_subprotocol",
    "decide",
]


class State(Enum):
    """How far a socket has come."""

    CONNECTING = "connecting"  #: the handshake waits for a consumer's answer
    OPEN = "open"
    CLOSED = "closed"  #: refused, closed or lost: nothing can be sent any more


@dataclass(frozen=True, slots=True)
class Accept:
    """Complete the handshake."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the handshake with HTTP 403."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Send a binary frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close an accepted socket with a code of RFC 6455, section 7.4."""

    code: int


Action = Accept | Refuse | SendText | SendBytes | Close

_KNOWN = frozenset({"accept", "text", "bytes", "close"})
#: Codes below 3000 that an application may send, or that this package sends itself.
_CODES = frozenset({1000, 1001, 1008, 1011, 1012, 1013})


def decide(state: State, reply: Mapping[Any, Any]) -> tuple[Action, ...] | str:
    """Return what a reply makes happen, in order, or what is wrong with it; total over any mapping.

    Before acceptance `accept: True` and non-empty data accept, `accept: False` refuses, `close` refuses unless there is
    data; after it `accept` is ignored (items 119, 120). An empty `text` or `bytes`, and None, count as absent.

    Args:
        state: the socket's state.
        reply: what a consumer sent to the reply channel.

    Returns:
        The actions, none for a closed socket (item 63); or an error for the log, with the names of keys but no values.
    """
    if state is State.CLOSED:
        return ()
    if fault := _fault(reply):
        return fault
    accept, close = reply.get("accept"), reply.get("close") or 0
    data = reply.get("text") or reply.get("bytes")
    actions: list[Action] = []
    if state is State.CONNECTING:
        if accept is False:
            return (Refuse(),)
        if not accept and not data:
            return (Refuse(),) if close else ()
        actions.append(Accept())
    if data:
        actions.append(SendText(data) if isinstance(data, str) else SendBytes(data))
    if close:
        code = 1000 if close is True else close
        if not (code in _CODES or 3000 <= code <= 4999):
            return f"the close code {code if code < 10_000 else 'given'} cannot be sent: use True, 1000 or 3000 to 4999"
        actions.append(Close(code))
    return tuple(actions)


def answers(reply: Mapping[Any, Any]) -> bool:
    """Tell whether a reply answers a handshake: one that is wrong or says nothing does not (section 0, items 1 and 3).

    Args:
        reply: what a consumer sends to the reply channel.
    """
    actions = decide(State.CONNECTING, reply)
    return not isinstance(actions, str) and bool(actions)


def _fault(reply: Mapping[Any, Any]) -> str | None:
    if unknown := reply.keys() - _KNOWN:
        names = ", ".join(sorted(f"{key!r:.50}" for key in unknown)[:10])
        return f"a reply has the unknown keys {names}: a socket understands accept, text, bytes and close"
    text, data, accept, close = reply.get("text"), reply.get("bytes"), reply.get("accept"), reply.get("close")
    if not isinstance(text, str | None):
        return f"'text' is {type(text).__name__}, it must be str"
    if not isinstance(data, bytes | None):
        return f"'bytes' is {type(data).__name__}, it must be bytes"
    if text and data:
        return "a reply has both 'text' and 'bytes': send two"
    if not isinstance(accept, bool | None):
        return f"'accept' is {type(accept).__name__}, it must be True or False"
    if not isinstance(close, int | None):
        return f"'close' is {type(close).__name__}, it must be True, False or a close code"
    if close is not None and close < 0:
        return "'close' is negative, it must be True, False or a close code"
    return None


def choose_subprotocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """Return the first subprotocol offered that is supported, if any (item 124).

    Args:
        offered: what the client asked for, in its order.
        supported: the setting CHANNELS_WS_PROTOCOLS.
    """
    return next((name for name in offered if name in supported), None)


def above_limit(frame: str | bytes, limit: int) -> bool:
    """Tell whether a frame takes more than `limit` bytes on the wire, without encoding text that surely does not."""
    if isinstance(frame, bytes) or len(frame) > limit:
        return len(frame) > limit
    # a character takes at most four bytes of UTF-8
    return len(frame) * 4 > limit and len(frame.encode("utf-8", "surrogatepass")) > limit
