"""One socket: its frames become channel messages, and what consumers reply becomes frames (Channels 1.x, section J)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from channelcelery.core.names import ReplyAddress
from channelcelery.core.websocket import Close, Refuse, State, decide
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.events import Plan
from channelcelery.interface.faults import logger
from channelcelery.interface.surroundings import Surroundings
from channelcelery.interface.uplink import Uplink
from channelcelery.interface.wire import Wire

__all__ = ["Session"]

#: Bytes of randomness in a reply channel's name: 128 bits.
_TOKEN_BYTES = 16
#: Seconds for a server to report the end of a connection that we closed.
_CLOSE_GRACE = 10.0
#: Seconds for a client to read what the server holds for it, once the server goes down.
_SHUTDOWN_GRACE = 0.5
#: What a server reports when it goes down ("service restart" in the registry of RFC 6455, section 11.7).
_SERVICE_RESTART = 1012
#: What a client is told whose socket is too old (RFC 6455, section 7.4.1).
_GOING_AWAY = 1001
#: What ends a connection whose frames are wrong (RFC 6455, section 7.4.1).
_WRONG_FRAMES = frozenset({1002, 1007, 1009})


class Session:
    """The life of one socket, from the `websocket.connect` to the `websocket.disconnect`; nothing in it waits.

    Args:
        around: what it shares with the others.
        path: what the client opened.
        subprotocol: what an acceptance tells the client.
        address: the client's, which `around.gate` let in.
        wire: carries its bytes.
    """

    __slots__ = (
        "_accepted",
        "_address",
        "_around",
        "_began",
        "_code",
        "_is_over",
        "_old_at",
        "_quiet",
        "_subprotocol",
        "_suspect",
        "_timer",
        "_uplink",
        "_used",
        "_used_at",
        "_wire",
        "path",
        "reply_channel",
        "state",
        "token",
    )

    def __init__(
        self, around: Surroundings, path: str, subprotocol: str | None, address: str | None, wire: Wire
    ) -> None:
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.reply_channel = ReplyAddress(around.node.name, self.token).channel()
        self.path = path
        self.state = State.CONNECTING
        self._around = around
        self._subprotocol = subprotocol
        self._address = address
        self._uplink = Uplink(around, self)
        self._code: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._used_at = time.monotonic()
        # up to a tenth earlier, so that sockets that came together, as after a restart, do not come back together
        self._old_at = self._began + around.config.connection_lifetime * (1 - secrets.randbelow(100) / 1_000)
        self._accepted = self._used = self._quiet = self._suspect = self._is_over = False
        self.carried_by(wire)

    def begin(self, content: dict[str, Any]) -> None:
        """Publish the connect; only then is there anything to run, and a disconnect to publish.

        Args:
            content: the `websocket.connect` message.

        Raises:
            ChannelFull: there is no room for it.
            InvalidContent: it cannot travel.
        """
        # held first, since the answer may come at once
        self._around.hub.add(self)
        try:
            self._uplink.connect(content)
        except (ChannelFull, InvalidContent):
            self._around.hub.remove(self.token, published=False)
            raise
        logger.debug("WebSocket %.200a waits for an answer", self.path)
        if self.state is State.CONNECTING:
            self._start_timer(self._around.config.connect_timeout, self._time_out)

    def carried_by(self, wire: Wire) -> None:
        """Go over to a wire."""
        self._wire = wire
        wire.carry(self)

    # what the client sends

    @property
    def takes(self) -> bool:
        """Whether it takes a message now: a client may not speak before it is answered (item 123)."""
        return self.state is not State.CONNECTING and not self._uplink.waits

    def receive(self, message: str | bytes) -> None:
        """Publish what the client sent; after a close it is nothing."""
        self._used = True
        if self.state is State.OPEN and (code := self._uplink.receive(message)) is not None:
            self.close(code)

    def freed(self, code: int | None) -> None:
        """Take messages again after a wait, or close with a code."""
        if code is not None:
            self.close(code)
        self._wire.go_on()

    def _note_end(self, code: int) -> None:
        if code in _WRONG_FRAMES and self._code is None:
            # the client may never see the code: a server that stops reading resets the connection
            text = "a socket of %.200a ended with %d: frames against the protocol, no UTF-8, or a message far too large"
            self._around.faults.note("wrong_frames", text, self.path, code)
        self._code = self._code or code

    # what consumers send

    def deliver(self, reply: Mapping[str, Any]) -> None:
        """Do what a reply asks for, or log what is wrong with it (items 118 to 121)."""
        decided = decide(self.state, reply)
        if isinstance(decided, str):
            self._around.faults.note("bad_reply", "a reply to a socket of %.200a was dropped: %s", self.path, decided)
        elif decided:
            self.execute(Plan(decided, self._subprotocol))

    def execute(self, plan: Plan) -> None:
        """Do what was planned for a socket in this state."""
        self._used = True
        if not plan.is_data:
            # the state first: a send may find out that the client is gone, and that must stay
            self._follow(plan)
        self._wire.put(plan)

    def _follow(self, plan: Plan) -> None:
        if plan.state is State.OPEN:
            logger.debug("WebSocket %.200a was accepted", self.path)
            self._accepted = True
            self._enter(State.OPEN)
        elif plan.state is State.CLOSED:
            # a refusal has no code; what is sent with a close accepts first
            self._accepted = self._accepted or plan.code is not None
            self._enter(State.CLOSED, plan.code or 1006)

    def close(self, code: int, *, quietly: bool = False) -> None:
        """Close it, or refuse it if nothing accepted it yet.

        Args:
            code: for the client, if it was accepted.
            quietly: whether another process publishes its disconnect.
        """
        self._quiet = self._quiet or quietly
        if self.state is State.OPEN:
            self.execute(Plan([Close(code)]))
        elif self.state is State.CONNECTING:
            self.execute(Plan([Refuse()]))

    def _enter(self, state: State, code: int | None = None) -> None:
        self.state, self._code = state, code
        self._stop_timer()
        if state is State.CLOSED:
            self._uplink.close()
            # not every server reports the end of what we closed
            self._start_timer(_CLOSE_GRACE, self.end)
        self._wire.go_on()

    # what does not come

    def _start_timer(self, seconds: float, call: Callable[[], object]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        text = "no consumer answered the handshake of %.200a within %g s: does a worker run, and a route match?"
        self._around.faults.note("handshake_timeout", text, self.path, self._around.config.connect_timeout)
        self.close(1013)

    def blocked(self, reason: str) -> None:
        """End the connection, whether or not the client reads: nothing can be sent any more."""
        if reason == "send_failed":
            # the server knows that the client is gone, and is about to say so
            text = "a socket of %.200a was gone when written to"
            self._around.faults.note(reason, text, self.path, level=logging.DEBUG)
            self._enter(State.CLOSED, self._code)
            return
        text = "a socket of %.200a was closed: its client does not read what it is sent (%s)"
        self._around.faults.note(reason, text, self.path, reason)
        was_open = self.state is State.OPEN
        self._enter(State.CLOSED, 1013)
        if was_open and self._wire.last(1013):
            return
        if not self._wire.abort():
            self.end()

    def end(self) -> None:
        """Let go of it, whatever its server and client still wait for."""
        self._wire.leave()

    def lose(self) -> None:
        """Do nothing: what is lost is lost, and the socket goes on."""

    def sweep(self) -> None:
        """End a connection that is too old (item 59) or idle, or that was closed before and is still there."""
        if self.state is State.OPEN and time.monotonic() >= self._old_at:
            logger.debug("WebSocket %.200a reached CONFIG['connection_lifetime']", self.path)
            self.close(_GOING_AWAY)
        self._end_if_idle()
        if self._suspect and self._wire.stuck:
            self._wire.abort()
        self._suspect = self._wire.closing

    def _end_if_idle(self) -> None:
        # by a mark, since a clock would cost each message more
        if self._used:
            self._used, self._used_at = False, time.monotonic()
        elif self.state is State.OPEN and time.monotonic() - self._used_at >= self._around.config.idle_timeout:
            text = "a socket of %.200a was idle for CONFIG['idle_timeout']"
            self._around.faults.note("idle_timeout", text, self.path)
            self.close(_GOING_AWAY)

    def ended(self, code: int | None = None) -> None:
        """Tell consumers and the hub that the connection ended; it is over then, and this changes nothing again.

        Args:
            code: of its closing frame, or of what was wrong with its frames; None where the connection was lost.
        """
        if self._is_over:
            return
        self._is_over = True
        if code is not None:
            self._note_end(code)
        around, code = self._around, self._code or 1006
        self.state = State.CLOSED
        self._stop_timer()
        self._uplink.close()
        self._wire.stop()
        if self._wire.stuck:
            grace = _SHUTDOWN_GRACE if code == _SERVICE_RESTART else around.config.send_timeout
            self._start_timer(grace, self._wire.abort)
        around.hub.remove(self.token)
        around.gate.leave(self._address)
        if not self._quiet:
            self._uplink.disconnect(code)
        # one line for a connection, and none for its messages
        text = "WebSocket %.200a ended with %d after %.1f s" if self._accepted else "WebSocket %.200a was refused"
        seconds = time.monotonic() - self._began
        values = (self.path, code, seconds) if self._accepted else (self.path,)
        logger.info(text, *values, extra={"path": self.path, "code": code, "seconds": round(seconds, 3)})
