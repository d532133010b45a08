"""What a client says, on its way to its session: held back while that takes nothing, and then nothing is read."""

import asyncio
from collections import deque

from channelcelery.interface.faults import Faults
from channelcelery.interface.wire import Carried

__all__ = ["Inbound"]


class _End:
    """The end of a connection, behind messages that came before it."""

    __slots__ = ("code",)

    def __init__(self, code: int | None) -> None:
        self.code = code


class Inbound:
    """Brings messages and the end of one connection to a session, in order.

    Args:
        transport: the connection's.
        faults: where a session that raises is counted.
        is_paused: whether the connection is not read yet.
    """

    __slots__ = ("_faults", "_held", "_transport", "is_paused", "session")

    def __init__(self, transport: asyncio.Transport, faults: Faults, *, is_paused: bool = False) -> None:
        self._transport = transport
        self._faults = faults
        self._held: deque[str | bytes | _End] | None = None
        #: who takes it; None after the end
        self.session: Carried | None = None
        #: whether the connection is not read
        self.is_paused = is_paused

    def bring(self, message: str | bytes) -> None:
        """Give a message to the session, or hold it back."""
        if self._held is None and self.session is not None and self.session.takes:
            self._give(message)
        else:
            self._hold(message)

    def end(self, code: int | None) -> None:
        """Tell the session that the connection ended, behind what it took and what it takes not yet.

        Args:
            code: of the closing frame, if any.
        """
        if self.session is None:
            return
        if self._held is not None or not self.session.takes:
            self._hold(_End(code))
        else:
            self.finish(code)

    def finish(self, code: int | None = None) -> None:
        """Tell the session that it is over, whatever is held back."""
        session, self.session, self._held = self.session, None, None
        if session is not None:
            session.ended(code)

    def go_on(self) -> bool:
        """Give what was held back as far as the session takes it, and tell whether that was all."""
        held = self._held
        while held and self._held is held:
            if self.session is not None and not self.session.takes:
                return False
            message = held.popleft()
            if isinstance(message, _End):
                self.finish(message.code)
                return False
            self._give(message)
        return not self._held

    @property
    def waits(self) -> bool:
        """Whether anything is held back, or not read."""
        return self.is_paused or self._held is not None

    def _give(self, message: str | bytes) -> None:
        try:
            if self.session is not None:
                self.session.receive(message)
        except Exception:  # one socket must not end the others, nor stay as one that nobody reads
            self._faults.note("socket_error", "a socket raised over a message", trace=True)
            self._transport.abort()

    def _hold(self, message: str | bytes | _End) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append(message)
        self._pause()

    def _pause(self) -> None:
        if not self.is_paused and not self._transport.is_closing():
            self.is_paused = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again, and hold nothing back any longer."""
        self._held = None
        if self.is_paused and not self._transport.is_closing():
            self.is_paused = False
            self._transport.resume_reading()
