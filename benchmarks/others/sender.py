"""The line protocol of `benchmarks.kit.sender`, for senders that are coroutines."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

__all__ = ["run"]


async def run(send: Callable[[str, str], Awaitable[object]]) -> None:
    """Send what each line says, until there are no more.

    Args:
        send: called with the group's name and a text.
    """
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        _, name, text = line.rstrip("\n").split(" ", 2)
        cpu, before = time.process_time_ns(), time.monotonic_ns()
        await send(name, text)
        after, cpu = time.monotonic_ns(), time.process_time_ns() - cpu
        print("ok", before, after, cpu, flush=True)
