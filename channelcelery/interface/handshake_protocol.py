"""A socket of our own protocol until it is answered: the application makes its session, which accepts or refuses it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from channelcelery.core.websocket import Accept
from channelcelery.interface.connection import Connection, ConnectionProtocol
from channelcelery.interface.events import Plan, Scope
from channelcelery.interface.handshake import Handshake
from channelcelery.interface.outlet import begin
from channelcelery.interface.socket_protocol import SocketProtocol
from channelcelery.interface.wire import SOCKET, Carried

__all__ = ["HandshakeProtocol"]


class HandshakeProtocol(ConnectionProtocol):
    """Carries a socket that waits for its answer; an acceptance hands it over to `SocketProtocol`. See `OwnWire`.

    Args:
        connection: the client's.
        handshake: that of the client, a right one.
    """

    __slots__ = ("_early", "_handshake", "_is_over", "_session")

    def __init__(self, connection: Connection, handshake: Handshake) -> None:
        super().__init__(connection)
        self._handshake = handshake
        self._session: Carried | None = None
        self._early: bytes | None = None  # what the client sent meanwhile
        self._is_over = False  # refused, or lost

    def start(self, application: Callable[..., Any], scope: Scope) -> None:
        """Have the application answer the handshake, at once or later by the session.

        Args:
            application: an ASGI application that knows `own_wire`; none in front of it may wait.
            scope: of the handshake.
        """
        scope["extensions"] = {SOCKET: self}
        try:
            answers = begin(application(scope, _no_events, _no_events)) is None
        except Exception:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
            answers = False
        if not answers or self._session is None:
            self.begin(500)

    def watched_by(self, watch: Callable[[str], None]) -> None:
        """Have turns in the socket's life told."""
        self.connection.watch = watch

    def carry(self, session: Carried) -> None:
        """Take note whose handshake it is."""
        self._session = session

    def begin(self, opened: Carried | int) -> None:
        """Refuse the handshake with a status; a session has made itself known by `carry`."""
        if isinstance(opened, int):
            self._session = None
            self._refuse(opened)

    # what the client does

    def data_received(self, data: bytes) -> None:
        """Keep what comes too early, and read no more."""
        if self._is_over:
            return
        if self._early is None:
            self._early = b""
            self.transport.pause_reading()
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection, and tell the session."""
        self._is_over = True
        self.connection.lost(self)
        self._finish()

    def _finish(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.ended()

    # what the session does: Wire

    def put(self, plan: Plan) -> None:
        """Answer the handshake; whatever else the plan asks for comes after it."""
        session = self._session
        if session is None:
            return
        try:
            if self._is_over:
                session.blocked("send_failed")
            elif isinstance(plan.actions[0], Accept):
                self._accept(plan, session)
            else:
                self._refuse(403)
                asyncio.get_running_loop().call_soon(self._finish)
        except Exception:  # the transport may have ended already, and say so in a moment
            session.blocked("send_failed")

    def _accept(self, plan: Plan, session: Carried) -> None:
        opened = SocketProtocol(self.connection, self._handshake.frames(), self._early)
        self.connection.carry(opened, instead_of=self)
        session.carried_by(opened)
        self.transport.write(self._handshake.acceptance(plan.subprotocol))
        self.connection.tell("CONNECT")
        opened.put(plan)

    def _refuse(self, status: int) -> None:
        if not self._is_over:
            self._is_over = True
            self.transport.write(self._handshake.refusal(status))
            self.connection.tell("REJECT")
            self.transport.close()

    def go_on(self) -> None:
        """Do nothing: what came too early is for the open socket."""

    def last(self, code: int) -> bool:
        """Say nothing: there is no code before an acceptance."""
        return False

    def stop(self) -> None:
        """Take note that the session is over."""
        self.connection.tell("DISCONNECT")

    def abort(self) -> bool:
        """End the connection at once."""
        self._is_over = True
        self.transport.abort()
        return True

    def leave(self) -> None:
        """Refuse what is not answered, and be done with the session."""
        self._refuse(500)
        self._finish()

    def shutdown(self) -> None:
        """End since the server ends; uvicorn calls this."""
        self._refuse(500)


async def _no_events(*event: Any) -> Any:
    raise RuntimeError("a socket of our own protocol has no events: see channelcelery.interface.wire.own_wire")
