"""How a socket sends: at once where the server takes it, else from a bounded buffer, and never making the hub wait."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any

from channelcelery.interface.events import Event, Send

__all__ = ["Outlet", "begin", "hold_little", "transport_of"]

#: Bytes that an event takes in memory beside what it says: its dict, a tuple and a place in the queue. Without them
#: tiny and empty events would wait in any number.
_EVENT_SIZE = 256


class Outlet:
    """The way out of one socket.

    ASGI's `send` is a coroutine that waits while the client does not read. Most of the time it does not need to: it is
    run up to its first wait, which costs no task. If it does wait, a task finishes it, and what comes after it queues
    up behind it, in order, until the buffer is full or the wait too long.

    Args:
        send: the server's.
        limit: bytes that may wait; each event counts 256 besides its own.
        timeout: seconds that one send may wait.
        failed: called once with "send_buffer", "send_timeout" or "send_failed" when nothing can be sent any more.
    """

    __slots__ = ("_bytes", "_failed", "_limit", "_queue", "_send", "_task", "_timeout")

    def __init__(self, send: Send, limit: int, timeout: float, failed: Callable[[str], None]) -> None:
        self._send = send
        self._limit = limit
        self._timeout = timeout
        self._failed: Callable[[str], None] | None = failed
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[tuple[Event, int]] | None = None
        self._bytes = 0

    def put(self, event: Event, size: int) -> None:
        """Send an event, now or when those before it are sent; nothing happens after a failure.

        Args:
            event: it is not changed, so that many outlets may share it.
            size: bytes that it takes.
        """
        size += _EVENT_SIZE
        if self._queue is None:
            self._start(event, size)
        elif self._bytes + size > self._limit:
            self._fail("send_buffer")
        else:
            self._queue.append((event, size))
            self._bytes += size

    def _start(self, event: Event, size: int) -> None:
        if self._failed is None:
            return
        try:
            rest = begin(self._send(event))
        except Exception:  # a server may raise anything for a client that is gone
            self._fail("send_failed")
            return
        if rest is not None:
            self._queue, self._bytes = deque(), size
            self._task = asyncio.get_running_loop().create_task(self._drain(rest, size))

    async def _drain(self, waiting: Awaitable[None], size: int) -> None:
        queue = self._queue
        try:
            while queue is not None:
                async with asyncio.timeout(self._timeout):
                    await waiting
                self._bytes -= size
                if not queue:
                    break
                event, size = queue.popleft()
                waiting = self._send(event)
        except TimeoutError:
            self._fail("send_timeout")
        except Exception:
            self._fail("send_failed")
        finally:
            self._task = self._queue = None

    def _fail(self, reason: str) -> None:
        failed = self._failed
        self.stop()
        if failed is not None:
            failed(reason)

    def stop(self) -> None:
        """Drop what waits and send nothing more."""
        self._failed = None
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = self._queue = None

    def last(self, event: Event) -> bool:
        """Send a last event after a failure if the server takes it at once, and tell whether it did."""
        try:
            rest = begin(self._send(event))
        except Exception:
            return False
        if isinstance(rest, _Rest):
            rest.close()
        return rest is None

    @property
    def stuck(self) -> bool:
        """True while the server holds bytes that the client does not take; False where the server does not tell."""
        size = getattr(transport_of(self._send), "get_write_buffer_size", None)
        return size is not None and size() > 0

    @property
    def closing(self) -> bool:
        """True once the server closes the connection."""
        is_closing = getattr(transport_of(self._send), "is_closing", None)
        return is_closing is not None and is_closing()

    def abort(self) -> bool:
        """End the connection without waiting for the client to read, and tell whether the server allows it."""
        abort = getattr(transport_of(self._send), "abort", None)
        if abort is None:
            return False
        abort()
        return True


def transport_of(send: Send) -> Any:
    """Return the transport behind a server's `send`, or None where it shows none."""
    # ASGI has no way to end a connection whose client does not read: when the application returns, a server closes it
    # after the last byte, which is never. uvicorn's `send` is a method of an asyncio protocol that holds the transport.
    return getattr(getattr(send, "__self__", None), "transport", None)


def hold_little(send: Send, size: int) -> None:
    """Have server and kernel hold few bytes that they cannot send yet, so that it is noticed when a slow client reads.

    By itself Linux lets a socket go on only after a third of its buffer, which may be a MB: half a minute of a client
    that is slow but alive, and would pass for one that does not read.

    Args:
        send: the server's; nothing happens where it shows no transport.
        size: bytes.
    """
    transport = transport_of(send)
    if (limit := getattr(transport, "set_write_buffer_limits", None)) is not None:
        limit(high=size)
    get = getattr(transport, "get_extra_info", None)
    socket_ = get("socket") if get is not None else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if socket_ is not None and option is not None and socket_.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket_.setsockopt(socket.IPPROTO_TCP, option, size)


def begin(sending: Awaitable[None]) -> Awaitable[None] | None:
    """Run a coroutine up to its first wait; return None if it ended, else what is to be awaited instead of it."""
    if not isinstance(sending, CoroutineType):
        return sending
    try:
        wait = sending.send(None)
    except StopIteration:
        return None
    return _Rest(sending, wait)


class _Rest:
    """A coroutine that has begun: awaiting this goes on where it stopped, as a task would have."""

    __slots__ = ("_coroutine", "_wait")

    def __init__(self, coroutine: Coroutine[Any, Any, None], wait: Any) -> None:
        self._coroutine = coroutine
        self._wait = wait

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        wait = self._wait
        try:
            while True:
                try:
                    value = yield wait
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:  # cancelled, or timed out: the coroutine's to handle
                    wait = self._coroutine.throw(error)
                else:
                    wait = self._coroutine.send(value)
        except StopIteration:
            return
