"""One client's connection on its way through the two states of a socket: the handshake, and what follows it."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn

from channelcelery.interface.limits import Gate
from channelcelery.interface.wheel import Wheel

__all__ = ["Connection", "ConnectionProtocol"]


class Connection:
    """What stays the same, whichever protocol the transport brings its bytes to.

    Args:
        transport: the connection's.
        address: the peer's.
        config: the server's settings.
        gate: let the connection in; it leaves with its end.
        connections: those of the server.
        wheel: has the time limits of all sockets.
    """

    __slots__ = ("_address", "_connections", "config", "gate", "transport", "watch", "wheel")

    def __init__(
        self,
        transport: asyncio.Transport,
        address: str | None,
        config: uvicorn.Config,
        gate: Gate,
        connections: set[Any],
        wheel: Wheel,
    ) -> None:
        self.transport = transport
        self.config = config
        self.gate = gate
        self.wheel = wheel
        #: told of turns in the socket's life, if it is given: "CONNECT", "REJECT", "DISCONNECT"
        self.watch: Callable[[str], None] | None = None
        self._address = address
        self._connections = connections

    def carry(self, protocol: asyncio.Protocol, *, instead_of: asyncio.Protocol) -> None:
        """Bring the transport's bytes to another protocol from now on, and have the server know that one."""
        self._connections.discard(instead_of)
        self._connections.add(protocol)
        self.transport.set_protocol(protocol)

    def tell(self, turn: str) -> None:
        """Tell who watches of a turn; the last one is followed by no other."""
        if self.watch is not None:
            self.watch(turn)
            if turn != "CONNECT":
                self.watch = None

    def lost(self, protocol: asyncio.Protocol) -> None:
        """Make room for another connection."""
        self._connections.discard(protocol)
        self.gate.leave(self._address)


class ConnectionProtocol(asyncio.Protocol):
    """What both states have of a `Wire`."""

    __slots__ = ("connection", "transport")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transport = connection.transport

    @property
    def stuck(self) -> bool:
        """Whether there are bytes that the client does not take."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def closing(self) -> bool:
        """Whether the connection is being closed."""
        return self.transport.is_closing()
