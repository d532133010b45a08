"""HTTP bodies on their way through the interface process: in memory while they are small, then in temporary files.

Disks may be slow, so files are written and read by threads of their own. What all bodies of a process hold together is
bounded, in memory and on disk.
"""

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

__all__ = ["Room", "Spool"]

_KIB, _MIB = 1024, 1024 * 1024
#: Bytes that a spool may hold in memory however little room there is: a file takes as much.
_ALWAYS = 16 * _KIB
#: Bytes that a piece takes in memory beside its content.
_PIECE_SIZE = 64
#: Bytes after which a file is followed by another, so that what was read of a long stream frees its place on disk.
_SEGMENT = 16 * _MIB
#: Bytes that are written at once.
_WRITE = 256 * _KIB

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Room:
    """What all spools of a process may hold together.

    Args:
        memory: bytes left in memory.
        disk: bytes left on disk.
    """

    memory: int = 4 * _MIB
    disk: int = 1024 * _MIB
    #: A single one, so that a file is closed after what was to be done with it, whoever was cancelled meanwhile.
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "spool"))


class _Segment:
    """A temporary file, used by the one thread; the numbers belong to the event loop."""

    __slots__ = ("_file", "read", "written")

    def __init__(self) -> None:
        self.written = self.read = 0
        self._file: IO[bytes] | None = None

    def append(self, pieces: Sequence[bytes], at: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by `close`)
        view = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        while view:
            count = os.pwrite(self._file.fileno(), view, at)
            view, at = view[count:], at + count

    def take(self, size: int, at: int) -> bytes:
        return b"" if self._file is None else os.pread(self._file.fileno(), size, at)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Spool:
    """Bytes, first in first out, for one event loop.

    What waits longest is in `_head`, then come the files, and what came last is in `_tail`. Only the tail is written to
    a file; once there is none, it becomes the head.

    Args:
        room: what all of them may hold.
        memory: bytes that this one may hold in memory.
    """

    __slots__ = ("_closed", "_files", "_head", "_held", "_lock", "_memory", "_offset", "_room", "_tail", "size")

    def __init__(self, room: Room, memory: int) -> None:
        #: bytes that wait
        self.size = 0
        self._room, self._memory = room, memory
        self._head: deque[bytes] = deque()
        self._tail: deque[bytes] = deque()
        self._offset = 0  # bytes of the first of the head that were taken
        self._held = 0  # bytes in memory
        self._files: deque[_Segment] = deque()
        self._lock = asyncio.Lock()
        self._closed = False

    def put(self, data: bytes) -> None:
        """Add bytes, in memory at first: call `settle` when `is_settled` is false."""
        if data and not self._closed:
            self._tail.append(data)
            self._hold(len(data) + _PIECE_SIZE)
            self.size += len(data)

    def _hold(self, size: int) -> None:
        self._held += size
        self._room.memory -= size

    @property
    def is_settled(self) -> bool:
        """Whether no more is in memory than may stay there."""
        return self._held <= self._memory and (self._room.memory >= 0 or self._held <= _ALWAYS)

    async def settle(self) -> bool:
        """Move to a file what may not stay in memory, and tell whether there was room; else it stays where it is."""
        while not self.is_settled and (self._tail or self._lock.locked()):
            async with self._lock:
                if self._tail and not self.is_settled and not await self._write():
                    return False
        # what is left in memory is about to be taken
        return True

    async def _write(self) -> bool:
        # many small pieces are one write
        pieces = [self._tail.popleft()]
        size = len(pieces[0])
        while self._tail and size + len(self._tail[0]) <= _WRITE:
            pieces.append(self._tail.popleft())
            size += len(pieces[-1])
        if not await self._append(pieces, size):
            self._tail.extendleft(reversed(pieces))
            return False
        self._hold(-size - _PIECE_SIZE * len(pieces))
        return True

    async def _append(self, pieces: Sequence[bytes], size: int) -> bool:
        if self._room.disk < size:
            return False
        if not self._files or self._files[-1].written >= _SEGMENT:
            self._files.append(_Segment())
        segment = self._files[-1]
        at = segment.written
        # at once, so that `close` gives it back, whoever is cancelled meanwhile
        segment.written += size
        self._room.disk -= size
        try:
            await self._in_thread(segment.append, pieces, at)
        except OSError:
            segment.written -= size
            self._room.disk += size
            if not segment.written:
                await self._discard(self._files.pop())
            return False
        return True

    async def take(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; b"" where none wait."""
        if not self._head and (self._files or self._lock.locked()):
            async with self._lock:
                if not self._head and self._files and not self._closed:
                    return await self._read(size)
        if not self._head:
            self._head, self._tail = self._tail, self._head
        return self._take_head(size)

    def _take_head(self, size: int) -> bytes:
        parts, left = [], size
        while self._head and left:
            piece = self._head[0]
            part = piece if not self._offset and len(piece) <= left else piece[self._offset : self._offset + left]
            self._offset += len(part)
            left -= len(part)
            parts.append(part)
            if self._offset == len(piece):
                self._head.popleft()
                self._hold(-len(piece) - _PIECE_SIZE)
                self._offset = 0
        self.size -= size - left
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read(self, size: int) -> bytes:
        segment = self._files[0]
        size = min(size, segment.written - segment.read)
        data = await self._in_thread(segment.take, size, segment.read)
        if len(data) < size:
            raise OSError("a temporary file is shorter than what was written to it")
        segment.read += size
        self.size -= size
        if segment.read == segment.written:
            # nobody writes to it: the lock is held
            await self._discard(self._files.popleft())
        return data

    async def _discard(self, segment: _Segment) -> None:
        self._room.disk += segment.written
        await self._in_thread(segment.close)

    async def close(self) -> None:
        """Let go of everything; what is put afterwards goes nowhere."""
        self._closed = True
        async with self._lock:
            self._head.clear()
            self._tail.clear()
            self._hold(-self._held)
            self.size = self._offset = 0
            while self._files:
                await self._discard(self._files.popleft())

    async def _in_thread(self, call: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._room.thread, call, *arguments)
