"""An HTTP client that writes what it is told to, right or wrong, and reads only when asked."""

import contextlib
import http.client
import io
import socket
import struct
from typing import Any, Self

__all__ = ["Wire"]


class _Kept(io.BufferedReader):
    """What comes on a connection; the end of a response does not close it."""

    def close(self) -> None:
        """Keep what was read ahead for the next response."""


class Wire:
    """One connection.

    Args:
        port: of the server.
        receive_buffer: bytes that the kernel keeps for it.
    """

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(20)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.file = _Kept(socket.SocketIO(self.socket, "r"))

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.socket.sendall(data)

    def request(
        self, method: str = "GET", path: str = "/page/", *lines: str, body: bytes = b"", version: str = "1.1"
    ) -> None:
        """Write a request in order, with more header lines and a body."""
        head = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    def response(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Read a response: its status, its headers with names in lower case, and its body.

        Raises:
            http.client.HTTPException: it is cut off or no response.
            ConnectionError: the connection ended before it began.
        """
        found = self.begin(method)
        return found.status, {name.lower(): value for name, value in found.headers.items()}, found.read()

    def begin(self, method: str = "GET") -> http.client.HTTPResponse:
        """Read the head of a response."""
        response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
        response.begin()
        return response

    def makefile(self, mode: str) -> Any:
        """For `http.client`."""
        return self.file

    def is_closed(self, timeout: float = 10.0) -> bool:
        """Read until the server ends the connection, or `timeout` seconds without a byte."""
        self.socket.settimeout(timeout)
        with contextlib.suppress(ConnectionError):
            try:
                while self.file.read1(65536):
                    pass
            except TimeoutError:
                return False
        return True

    def reset(self) -> None:
        """Vanish: the server gets a reset instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """End the connection in order."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
