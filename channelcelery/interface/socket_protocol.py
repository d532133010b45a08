"""Our own protocol for WebSockets on uvicorn: what a transport brings goes to the session, and back, without a task.

uvicorn's has a task, a queue, events and timers for each socket, which take more memory and CPU than what a session
does. Used are: of asyncio, protocols and transports with their flow control, as documented; of `websockets`, its
Sans-I/O `Protocol`; of uvicorn, that each connection stands in `ServerState.connections` and has a `shutdown`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import uvicorn
from websockets.frames import CloseCode, Frame, Opcode

from channelcelery.core.websocket import Accept, Close, SendBytes, SendText
from channelcelery.interface.backlog import Backlog
from channelcelery.interface.events import Plan, Scope
from channelcelery.interface.frames import Frames, TooManyPiecesError
from channelcelery.interface.handshake import Handshake
from channelcelery.interface.inbound import Inbound
from channelcelery.interface.limits import Gate
from channelcelery.interface.outlet import begin
from channelcelery.interface.pings import Due, Pings
from channelcelery.interface.wheel import Wheel
from channelcelery.interface.wire import SOCKET, Carried

__all__ = ["SocketProtocol"]

#: Seconds for a client to answer a closing frame.
_CLOSE_TIMEOUT = 10.0
#: What a server says that goes down (the registry of RFC 6455, section 11.7).
_SERVICE_RESTART = 1012


class SocketProtocol(asyncio.Protocol):
    """Carries one socket from its handshake on; see `Wire` for what its session asks of it.

    Args:
        transport: the connection's.
        handshake: that of the client, a right one.
        config: the server's settings.
        gate: let the connection in; it leaves with its end.
        address: the peer's.
        connections: those of the server.
        wheel: has the time limits of all sockets.
    """

    __slots__ = (
        "_address",
        "_backlog",
        "_config",
        "_connections",
        "_early",
        "_frames",
        "_gate",
        "_handshake",
        "_inbound",
        "_is_closing",
        "_is_gone",
        "_pings",
        "_slot",
        "_wheel",
        "transport",
        "watch",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        handshake: Handshake,
        config: uvicorn.Config,
        gate: Gate,
        address: str | None,
        connections: set[Any],
        wheel: Wheel,
    ) -> None:
        self.transport = transport
        #: told of turns in the socket's life, if it is given
        self.watch: Callable[[str], None] | None = None
        self._config, self._gate, self._address = config, gate, address
        self._connections, self._wheel = connections, wheel
        self._inbound = Inbound(transport, gate.faults)
        # before the answer
        self._handshake: Handshake | None = handshake
        self._early: bytes | None = None  # what the client sent
        # after it
        self._frames: Frames | None = None
        self._pings: Pings | None = None
        self._backlog: Backlog | None = None
        self._slot: int | None = None
        self._is_closing = False  # we sent a closing frame
        self._is_gone = False  # nothing can be written any more

    # the handshake: OwnWire

    def start(self, application: Callable[..., Any], scope: Scope) -> None:
        """Have the application answer the handshake, at once or later by the session.

        Args:
            application: an ASGI application that knows `own_wire`; none in front of it may wait.
            scope: of the handshake.
        """
        self._connections.add(self)
        scope["extensions"] = {SOCKET: self}
        try:
            answers = begin(application(scope, _no_events, _no_events)) is None
        except Exception:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
            answers = False
        if not answers or (self._inbound.session is None and not self._is_gone):
            self.begin(500)

    def carry(self, session: Carried) -> None:
        """Take note whose bytes these are."""
        self._inbound.session = session

    def begin(self, opened: Carried | int) -> None:
        """Refuse the handshake with a status; a session has made itself known by `carry`."""
        if isinstance(opened, int):
            self._inbound.session = None
            self._refuse(opened)

    def _refuse(self, status: int) -> None:
        if self._handshake is not None and not self._is_gone:
            self.transport.write(self._handshake.refusal(status))
            self._tell("REJECT")
            self.watch = None
            self._leave_off()

    def _accept(self, subprotocol: str | None) -> None:
        if self._handshake is None:
            return
        self.transport.write(self._handshake.acceptance(subprotocol))
        self._frames, self._handshake = self._handshake.frames(), None
        self._tell("CONNECT")
        self.go_on()
        interval, now = self._config.ws_ping_interval, asyncio.get_running_loop().time()
        self._pings = Pings(interval or 0.0, self._config.ws_ping_timeout, self._gate.config.frame_rate, now)
        if interval:
            self._slot = self._wheel.put(self, interval)

    def _tell(self, turn: str) -> None:
        if self.watch is not None:
            self.watch(turn)

    # what the client sends

    def data_received(self, data: bytes) -> None:
        """Give the session the messages in it, and answer what is for us."""
        if self._is_gone:
            return
        if self._frames is None:
            self._early = (self._early or b"") + data
            self._inbound.pause()
            return
        try:
            for event in self._frames.read(data):
                self._take(event)
        except TooManyPiecesError:
            self._cut_off("pieces", "a socket was cut off: its message came in too many pieces")
        if not self._is_gone and (code := self._frames.fault) is not None:
            self._end(code)
            self.transport.write(self._frames.answers())
            self._leave_off()

    def _take(self, event: str | bytes | Frame) -> None:
        if self._is_gone:
            return
        if isinstance(event, Frame):
            self._control(event)
        elif not self._is_closing:
            self._inbound.bring(event)

    def _control(self, frame: Frame) -> None:
        if self._frames is None or self._pings is None:
            return
        if frame.opcode is Opcode.PING:
            # pongs are written whether the client reads or not
            if self._pings.admits(asyncio.get_running_loop().time(), is_blocked=self._backlog is not None):
                self.transport.write(self._frames.answers())
            else:
                self._cut_off("ping_flood", "a socket was cut off: its client sends pings in a flood")
        elif frame.opcode is Opcode.PONG:
            self._pings.answered(bytes(frame.data))
        elif self._is_closing:  # the answer to ours
            self._leave_off()
        else:
            self._end(self._frames.close_code)
            self.transport.write(self._frames.answers())
            self._leave_off()

    def _cut_off(self, reason: str, text: str) -> None:
        self._gate.faults.note(reason, text)
        self.abort()

    def go_on(self) -> None:
        """Give the session what was held back, and read on, soon."""
        if self._inbound.waits:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._early is not None and self._frames is not None:
            early, self._early = self._early, None
            self.data_received(early)
        if self._inbound.go_on() and self._early is None:
            self._inbound.read_on()

    def turn(self) -> None:
        """Ping, or end a connection whose client does not answer; the wheel calls this."""
        self._slot = None
        if self._is_gone or self._frames is None or self._pings is None:
            return
        if self._is_closing:
            self._leave_off()
            return
        now = asyncio.get_running_loop().time()
        due, seconds = self._pings.due(now, is_read=not self._inbound.is_paused)
        if due is Due.END:
            self.transport.write(self._frames.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout"))
            self._leave_off()
            return
        if due is Due.PING:
            self.transport.write(self._frames.ping(self._pings.next(now)))
        self._slot = self._wheel.put(self, seconds)

    # what the session sends: Wire

    def put(self, plan: Plan) -> None:
        """Write what was planned, or have it wait while the client does not read."""
        if self._backlog is not None:
            self._backlog.put(plan)
        elif self._is_gone:
            self._failed("send_failed")
        else:
            self._try(plan)

    def _try(self, plan: Plan) -> None:
        try:
            self._do(plan)
        except Exception:  # the transport may have ended already, and say so in a moment
            self._failed("send_failed")

    def _do(self, plan: Plan) -> None:
        if plan.is_data and self._frames is not None and not self._frames.is_compressed:
            self.transport.write(plan.frame)
            return
        for action in plan.actions:
            match action:
                case Accept():
                    self._accept(plan.subprotocol)
                case SendText() | SendBytes():
                    if self._frames is not None:
                        own = self._frames.is_compressed
                        self.transport.write(self._frames.send(action) if own else plan.frame)
                case Close(code):
                    self._close(code)
                case _:
                    self._refuse(403)
                    asyncio.get_running_loop().call_soon(self._inbound.finish)

    def _close(self, code: int) -> None:
        """Send a closing frame: it is over for the session, and the client has a while to answer."""
        if self._frames is None or self._is_closing or self._is_gone:
            return
        self.transport.write(self._frames.close(code))
        self._is_closing = True
        self._inbound.read_on()
        self._wait_no_longer()
        self._slot = self._wheel.put(self, _CLOSE_TIMEOUT)
        asyncio.get_running_loop().call_soon(self._inbound.finish, code)

    def last(self, code: int) -> bool:
        """Close with a code, unless that would wait."""
        if self._is_gone or self._backlog is not None:
            return False
        self._close(code)
        return True

    def _failed(self, reason: str) -> None:
        if self._inbound.session is not None:
            self._inbound.session.blocked(reason)

    def pause_writing(self) -> None:
        """Have what is sent wait: the transport holds enough."""
        if self._backlog is None:
            self._backlog = Backlog(self._gate.config.send_buffer, self._gate.config.send_timeout, self._failed)
        self._backlog.pause()

    def resume_writing(self) -> None:
        """Send what waits: the client reads."""
        if self._pings is not None:
            self._pings.unblocked()
        if self._backlog is not None and self._backlog.resume(self._try):
            self._backlog = None

    def stop(self) -> None:
        """Drop what waits: the session is over."""
        if self._backlog is not None:
            self._backlog.clear()
        self._tell("DISCONNECT")
        self.watch = None

    @property
    def stuck(self) -> bool:
        """Whether there are bytes that the client does not take."""
        return self.transport.get_write_buffer_size() > 0

    @property
    def closing(self) -> bool:
        """Whether the connection is being closed."""
        return self.transport.is_closing()

    # ends

    def _end(self, code: int | None = None) -> None:
        self._inbound.end(code, answered=self._frames is not None)

    def _leave_off(self) -> None:
        self._write_no_more()
        self.transport.close()

    def _write_no_more(self) -> None:
        self._is_gone = True
        if self._backlog is not None:
            self._backlog.clear()
            self._backlog = None

    def _wait_no_longer(self) -> None:
        if self._slot is not None:
            self._wheel.drop(self, self._slot)
            self._slot = None

    def abort(self) -> bool:
        """End the connection, whatever was written."""
        self._write_no_more()
        self.transport.abort()
        return True

    def leave(self) -> None:
        """End the connection after what was written, and be done with the session."""
        self._refuse(500)
        self._inbound.finish()
        self._leave_off()

    def shutdown(self) -> None:
        """End since the server ends; uvicorn calls this."""
        if self._frames is None:
            self._refuse(500)
        elif not self._is_closing and not self._is_gone:
            self._end(_SERVICE_RESTART)
            self.transport.write(self._frames.close(_SERVICE_RESTART))
        self._leave_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection, and tell the session."""
        self._write_no_more()
        self._early = None
        self._wait_no_longer()
        self._connections.discard(self)
        self._gate.leave(self._address)
        self._end()


async def _no_events(*event: Any) -> Any:
    raise RuntimeError("a socket of our own protocol has no events: see channelcelery.interface.wire.own_wire")
