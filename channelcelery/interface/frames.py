"""The frames of one socket, by the Sans-I/O `Protocol` of `websockets`: bytes in and out, whole messages beside."""

from collections.abc import Iterator

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol

from channelcelery.core.websocket import SendBytes, SendText

__all__ = ["Frames", "TooManyPiecesError"]

#: Pieces of one message: each takes memory besides its bytes, of which it may have none.
_MAX_PIECES = 4_096


class TooManyPiecesError(Exception):
    """A message came in more pieces than any that is meant well."""


class Frames:
    """Reads what a client sends and writes what it is sent; nothing here knows of a connection.

    Args:
        protocol: that of an open socket.
    """

    __slots__ = ("_is_broken", "_is_text", "_parts", "_protocol", "is_compressed")

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._parts: list[bytes] | None = None  # of a message of which more is to come
        self._is_text = False
        self._is_broken = False
        #: whether what is sent has to be made for each socket anew
        self.is_compressed = bool(protocol.extensions)

    def read(self, data: bytes) -> Iterator[str | bytes | Frame]:
        """Give the whole messages in some bytes, and the control frames between them; `fault` tells what comes then.

        Args:
            data: that were received.

        Raises:
            TooManyPiecesError: there is no end to a message.
        """
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._is_text = frame.opcode is Opcode.TEXT
                self._parts = []
            elif frame.opcode is not Opcode.CONT:
                yield frame
                continue
            if self._parts is None or self._is_broken:
                return
            if len(self._parts) >= _MAX_PIECES:
                raise TooManyPiecesError
            self._parts.append(bytes(frame.data))
            if frame.fin and (message := self._whole()) is not None:
                yield message

    def _whole(self) -> str | bytes | None:
        parts, self._parts = self._parts or [], None
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            return data.decode() if self._is_text else data
        except UnicodeDecodeError:
            self._is_broken = True
            self._protocol.fail(CloseCode.INVALID_DATA)
            return None

    @property
    def fault(self) -> int | None:
        """The code that ends the connection since its frames are wrong, or None."""
        protocol = self._protocol
        if protocol.parser_exc is None and not self._is_broken:
            return None
        return protocol.close_sent.code if protocol.close_sent is not None else CloseCode.ABNORMAL_CLOSURE

    @property
    def close_code(self) -> int:
        """The code of the client's closing frame."""
        received = self._protocol.close_rcvd
        return received.code if received is not None else CloseCode.ABNORMAL_CLOSURE

    def answers(self) -> bytes:
        """Return what is to be written after a read: answers to pings, and a closing frame."""
        return b"".join(self._protocol.data_to_send())

    def send(self, action: SendText | SendBytes) -> bytes:
        """Return a message as frames of this socket, compressed where that was agreed on."""
        if isinstance(action, SendText):
            self._protocol.send_text(action.text.encode())
        else:
            self._protocol.send_binary(action.data)
        return self.answers()

    def ping(self, payload: bytes) -> bytes:
        """Return a ping."""
        self._protocol.send_ping(payload)
        return self.answers()

    def close(self, code: int) -> bytes:
        """Return a closing frame; the client's messages count no longer."""
        self._protocol.send_close(code)
        return self.answers()

    def fail(self, code: int, reason: str) -> bytes:
        """Return the closing frame of a connection that ends at once."""
        self._protocol.fail(code, reason)
        return self.answers()
