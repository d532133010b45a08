"""The process that sends to the group: the server's own program, told what to send line by line.

    sender writes   ready
    we write        send GROUP b:000000000001xxxxxxxx
    sender writes   ok T0 T1 CPU

T0 and T1 are `time.monotonic_ns()` right before and after the group send, and the monotonic clock is one for all
processes of a machine; CPU is the difference of `time.process_time_ns()` around it.
"""

import asyncio
import shlex
from collections import deque
from dataclasses import dataclass
from typing import Self

__all__ = ["Sender", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """One send, as its sender saw it: monotonic seconds before and after, and microseconds of CPU."""

    before: float
    after: float
    cpu_us: float


class Sender:
    """A running sender; answers come in the order of the sends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._waiting: deque[asyncio.Future[Sent]] = deque()
        self._reader = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, command: str) -> Self:
        """Start it and wait until it says that it is ready.

        Raises:
            RuntimeError: it said something else, or nothing for 30 s.
        """
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*shlex.split(command), stdin=pipe, stdout=pipe)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        if line.strip() != b"ready":
            raise RuntimeError(f"the sender said {line!r}, not 'ready'")
        return cls(process)

    def send(self, group: str, payload: bytes) -> "asyncio.Future[Sent]":
        """Let it send, and return the future of its answer."""
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._stdin.write(b"send %s %s\n" % (group.encode(), payload))
        return answer

    async def stop(self) -> None:
        """Let it end, and end it if it does not."""
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()

    async def _read(self) -> None:
        while line := await self._stdout.readline():
            answer, words = self._waiting.popleft(), line.split()
            if words[0] == b"ok":
                before, after, cpu = map(int, words[1:4])
                answer.set_result(Sent(before / 1e9, after / 1e9, cpu / 1e3))
            else:
                answer.set_exception(RuntimeError(f"the sender said {line!r}"))
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(RuntimeError("the sender ended"))
