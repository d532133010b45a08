"""What is to be told to Redis after a request is over, while nobody waits for it any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.faults import Faults

__all__ = ["Errands"]


class Errands:
    """Runs short calls in the background; one that fails is counted, since what it was about expires by itself.

    Args:
        faults: where failures are counted.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, call: Coroutine[Any, Any, None]) -> None:
        """Run a call; it is not waited for."""
        task = asyncio.get_running_loop().create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Coroutine[Any, Any, None]) -> None:
        try:
            await call
        except LayerUnavailable as error:
            self._faults.note("errand_failed", "a worker was not told that a request is over: %s", error)
        except Exception:
            self._faults.note("errand_failed", "a worker was not told that a request is over", trace=True)

    async def finish(self, timeout: float) -> None:
        """Wait for what is under way.

        Args:
            timeout: seconds at most; what takes longer is dropped.
        """
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout)
            for task in late:
                task.cancel()
