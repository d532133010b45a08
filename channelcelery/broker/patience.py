"""How long a worker waits for an answer of the broker: RabbitMQ may take a question and never answer it."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["answered_within"]

logger = logging.getLogger("django.channels.worker")


@contextmanager
def answered_within(seconds: float, connection: Any, what: str) -> Iterator[None]:
    """End a connection on which the block still waits after a time, so that it raises as if the broker had ended it.

    Celery then connects anew and asks again. A time limit of the socket would not do: each heartbeat begins it anew.
    On Redis nothing is to be done, whose connections have a time limit of their own.

    Args:
        seconds: the time.
        connection: a Kombu connection, which is connected.
        what: is asked for, for people.
    """
    sock = getattr(connection.connection, "sock", None)
    if sock is None:
        yield
        return

    def end() -> None:
        logger.error("the broker did not answer for %g s when asked for %s: this connection is ended", seconds, what)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
