"""The seam between a socket's life and what carries its bytes: a server's ASGI, or our own protocol on uvicorn."""

from collections.abc import Callable
from typing import Protocol

from channelcelery.interface.events import Plan, Scope

__all__ = ["SOCKET", "Carried", "OwnWire", "Wire", "own_wire"]

#: The extension in an ASGI scope under which our own protocol offers itself, instead of events.
SOCKET = "channelcelery.socket"


class Wire(Protocol):
    """How a session reaches its client; nothing here waits, and nothing calls back before it returned."""

    def carry(self, session: "Carried") -> None:
        """Take note whose bytes it carries; called once, before all else."""

    def put(self, plan: Plan) -> None:
        """Do what was planned, now or after what still waits; a failure is told by `Carried.blocked`, once."""

    def go_on(self) -> None:
        """Bring what the client sends again, soon: it was held back while `Carried.takes` was False."""

    def last(self, code: int) -> bool:
        """Close with a code after a failure if that can be said at once, and tell whether it was."""

    def stop(self) -> None:
        """Drop what waits and send nothing more."""

    def leave(self) -> None:
        """Let go of the client, whatever is under way; `Carried.ended` follows soon."""

    def abort(self) -> bool:
        """End the connection without waiting for the client to read, and tell whether that can be done."""

    @property
    def stuck(self) -> bool:
        """True while there are bytes that the client does not take; False where the server does not tell."""

    @property
    def closing(self) -> bool:
        """True once the server closes the connection."""


class Carried(Protocol):
    """A session, as what carries it sees it."""

    @property
    def takes(self) -> bool:
        """Whether it takes a message now; if not, what comes is to be held back until `Wire.go_on`."""

    def carried_by(self, wire: Wire) -> None:
        """Go over to a wire: the first, or the one that an open socket has after that of its handshake."""

    def receive(self, message: str | bytes) -> None:
        """Take a message of the client."""

    def blocked(self, reason: str) -> None:
        """Take note that nothing can be sent any more: "send_buffer", "send_timeout" or "send_failed"."""

    def ended(self, code: int | None = None) -> None:
        """Take note that the connection ended, with the code of its closing frame where one is known."""


class OwnWire(Wire, Protocol):
    """Our own protocol, as it offers itself to the application."""

    def watched_by(self, watch: Callable[[str], None]) -> None:
        """Have turns in the socket's life told: "CONNECT", "REJECT", "DISCONNECT"."""

    def begin(self, opened: Carried | int) -> None:
        """Take the session that the application made, or refuse with the status that it said."""


def own_wire(scope: Scope) -> OwnWire | None:
    """Return our own protocol, if it offers itself in a scope; another server's scope has none."""
    extensions = scope.get("extensions") or {}
    wire: OwnWire | None = extensions.get(SOCKET)
    return wire
