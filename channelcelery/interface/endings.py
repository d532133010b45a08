"""How what runs in the background comes to an end, in limited time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.faults import logger
from channelcelery.interface.hub import LocalSocket

__all__ = ["LAST_WORDS", "briefly", "cancel", "close_slowly"]

#: Seconds for sockets, and for Redis, to take note that this process ends.
LAST_WORDS = 0.8
#: Times that a task is cancelled, 0.1 s apart, before it is left to itself.
_CANCELS = 10
#: Seconds between two sockets that are closed one after the other, however few there are.
_LONGEST_PAUSE = 0.01


async def close_slowly(sockets: Sequence[LocalSocket], code: int, seconds: float) -> None:
    """Close sockets one after the other, at even intervals.

    Args:
        sockets: those to close.
        code: for their clients.
        seconds: that this takes; less if they are few.
    """
    begun, pause = time.monotonic(), min(seconds / max(len(sockets), 1), _LONGEST_PAUSE)
    for number, socket in enumerate(sockets):
        await asyncio.sleep(max(begun + number * pause - time.monotonic(), 0))
        socket.close(code)


async def briefly(call: Callable[[], Awaitable[None]]) -> None:
    """Call something, but wait for it for `LAST_WORDS` at most, and raise nothing.

    Args:
        call: says something to others before the end.
    """
    try:
        async with asyncio.timeout(LAST_WORDS):
            await call()
    except (LayerUnavailable, TimeoutError) as error:
        logger.info("not everything was said before the end: %s", error or "no answer in time")
    except Exception:
        logger.warning("not everything was said before the end", exc_info=True)


async def cancel(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks, and wait until they ended, for a second at most.

    Args:
        tasks: those that there are; None is passed over.
    """
    running = {task for task in tasks if task is not None}
    for _ in range(_CANCELS):
        if not running:
            return
        for task in running:
            task.cancel()
        # again, since a library may lose a cancellation that comes together with what it waits for
        _, running = await asyncio.wait(running, timeout=0.1)
