"""Our own protocol for WebSockets on uvicorn: what a transport brings goes to the session, and back, without a task.

uvicorn's has a task, a queue, events and timers for each socket, which take more memory and CPU than what a session
does. Used are: of asyncio, protocols and transports with their flow control, as documented; of `websockets`, its
Sans-I/O `Protocol`; of uvicorn, that each connection stands in `ServerState.connections` and has a `shutdown`.
"""

import asyncio

from websockets.frames import CloseCode, Frame, Opcode

from channelcelery.core.websocket import Close, SendBytes, SendText
from channelcelery.interface.backlog import Backlog
from channelcelery.interface.connection import Connection, ConnectionProtocol
from channelcelery.interface.events import Plan
from channelcelery.interface.frames import Frames, TooManyPiecesError
from channelcelery.interface.inbound import Inbound
from channelcelery.interface.pings import Due, Pings
from channelcelery.interface.wire import Carried

__all__ = ["SocketProtocol"]

#: Seconds for a client to answer a closing frame.
_CLOSE_TIMEOUT = 10.0
#: What a server says that goes down (the registry of RFC 6455, section 11.7).
_SERVICE_RESTART = 1012


class SocketProtocol(ConnectionProtocol):
    """Carries an open socket; see `Wire` for what its session asks of it, and `HandshakeProtocol` for what was before.

    Args:
        connection: the client's.
        frames: reads and writes them.
        early: what the client sent before it was answered; it is not read until that was taken.
    """

    __slots__ = ("_backlog", "_frames", "_inbound", "_is_closing", "_is_compressed", "_is_gone", "_pings", "_slot")

    def __init__(self, connection: Connection, frames: Frames, early: bytes | None) -> None:
        loop, config = asyncio.get_running_loop(), connection.config
        super().__init__(connection)
        self._frames = frames
        self._is_compressed = frames.is_compressed  # looked at for each message, unlike all else of the frames
        self._inbound = Inbound(connection.transport, connection.gate.faults, is_paused=early is not None)
        self._backlog: Backlog | None = None
        self._is_closing = False  # we sent a closing frame
        self._is_gone = False  # nothing can be written any more
        interval, rate = config.ws_ping_interval, connection.gate.config.frame_rate
        self._pings = Pings(interval or 0.0, config.ws_ping_timeout, rate, loop.time())
        self._slot = connection.wheel.put(self, interval) if interval else None
        if early is not None:
            loop.call_soon(self._catch_up, early)

    def carry(self, session: Carried) -> None:
        """Take note whose socket it is."""
        self._inbound.session = session

    # what the client sends

    def _catch_up(self, early: bytes) -> None:
        self.data_received(early)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Give the session the messages in it, and answer what is for us."""
        if self._is_gone:
            return
        try:
            for event in self._frames.read(data):
                self._take(event)
        except TooManyPiecesError:
            self._cut_off("pieces", "a socket was cut off: its message came in too many pieces")
        if not self._is_gone and (code := self._frames.fault) is not None:
            self._end(code, self._frames.answers())

    def _take(self, event: str | bytes | Frame) -> None:
        if self._is_gone:
            return
        if isinstance(event, Frame):
            self._control(event)
        elif not self._is_closing:
            self._inbound.bring(event)

    def _control(self, frame: Frame) -> None:
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
            self._end(self._frames.close_code, self._frames.answers())

    def _cut_off(self, reason: str, text: str) -> None:
        self.connection.gate.faults.note(reason, text)
        self.abort()

    def go_on(self) -> None:
        """Give the session what was held back, and read on, soon."""
        if self._inbound.waits:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._inbound.go_on():
            self._inbound.read_on()

    def turn(self) -> None:
        """Ping, or end a connection whose client does not answer; the wheel calls this."""
        self._slot = None
        if self._is_gone or self._is_closing:
            self._leave_off()
            return
        now = asyncio.get_running_loop().time()
        due, seconds = self._pings.due(now, is_read=not self._inbound.is_paused)
        if due is Due.END:
            self._leave_off(self._frames.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout"))
            return
        if due is Due.PING:
            self.transport.write(self._frames.ping(self._pings.next(now)))
        self._slot = self.connection.wheel.put(self, seconds)

    # what the session sends: Wire

    def put(self, plan: Plan) -> None:
        """Write what was planned, or have it wait while the client does not read."""
        if self._backlog is not None:
            own = self._is_compressed or not plan.is_data
            self._backlog.put(plan if own else plan.packed)
        elif self._is_gone:
            self._failed("send_failed")
        else:
            self._try(plan)

    def _try(self, plan: Plan) -> None:
        try:
            if plan.is_data and not self._is_compressed:
                self.transport.write(plan.frame)
            else:
                self._do(plan)
        except Exception:  # the transport may have ended already, and say so in a moment
            self._failed("send_failed")

    def _do(self, plan: Plan) -> None:
        for action in plan.actions:  # an acceptance among them has been done
            if isinstance(action, SendText | SendBytes):
                self.transport.write(self._frames.send(action) if self._is_compressed else plan.frame)
            elif isinstance(action, Close):
                self._close(action.code)

    def _close(self, code: int) -> None:
        """Send a closing frame: it is over for the session, and the client has a while to answer."""
        if self._is_closing or self._is_gone:
            return
        self.transport.write(self._frames.close(code))
        self._is_closing = True
        self._inbound.read_on()
        self._wait_no_longer()
        self._slot = self.connection.wheel.put(self, _CLOSE_TIMEOUT)
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
            config = self.connection.gate.config
            self._backlog = Backlog(config.send_buffer, config.send_timeout, self._failed)
        self._backlog.pause()

    def resume_writing(self) -> None:
        """Send what waits: the client reads."""
        self._pings.unblocked()
        if self._backlog is not None and self._backlog.resume(self._try):
            self._backlog = None

    def stop(self) -> None:
        """Drop what waits: the session is over."""
        if self._backlog is not None:
            self._backlog.clear()
        self.connection.tell("DISCONNECT")

    # ends

    def _end(self, code: int, last: bytes) -> None:
        self._inbound.end(code)
        self._leave_off(last)

    def _leave_off(self, last: bytes = b"") -> None:
        if last:
            self.transport.write(last)
        self._write_no_more()
        self.transport.close()

    def _write_no_more(self) -> None:
        self._is_gone = True
        if self._backlog is not None:
            self._backlog.clear()
            self._backlog = None

    def _wait_no_longer(self) -> None:
        if self._slot is not None:
            self.connection.wheel.drop(self, self._slot)
            self._slot = None

    def abort(self) -> bool:
        """End the connection, whatever was written."""
        self._write_no_more()
        self.transport.abort()
        return True

    def leave(self) -> None:
        """End the connection after what was written, and be done with the session."""
        self._inbound.finish()
        self._leave_off()

    def shutdown(self) -> None:
        """End since the server ends; uvicorn calls this."""
        if not self._is_closing and not self._is_gone:
            self._end(_SERVICE_RESTART, self._frames.close(_SERVICE_RESTART))
        else:
            self._leave_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection, and tell the session."""
        self._write_no_more()
        self._wait_no_longer()
        self.connection.lost(self)
        self._inbound.end(None)
