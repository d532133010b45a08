"""The thread that renews a process's leases and gives dead workers' messages back.

It is a thread of its own, since a worker's loop stands still while the pool `solo` runs a consumer. There is one per
process; it starts when the first message is taken and ends when nothing is left to keep.
"""

import logging
import os
import threading
import time
from typing import Any, Protocol
from weakref import WeakSet

import redis

from channelcelery.core.bursts import Bursts

__all__ = ["Kept", "keep"]

logger = logging.getLogger("django.channels.broker")


class Kept(Protocol):
    """What has leases: the unacknowledged messages of one Kombu channel."""

    #: seconds between two calls of `tend`
    interval: float
    #: whether the channel is closed and Redis has yet to learn something
    ending: bool

    def tend(self, now: float) -> None:
        """Renew, settle and sweep as far as that is due; `now` is a monotonic time in seconds."""


class _Keeper:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self._kept: WeakSet[Any] = WeakSet()
        self._owing: set[Any] = set()  # held here: nobody else may know of them any more
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._bursts = Bursts()

    def add(self, kept: Kept) -> None:
        with self._lock:
            self._kept.add(kept)
            if kept.ending:
                self._owing.add(kept)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="channelcelery-leases", daemon=True)
                self._thread.start()

    def _next(self) -> list[Kept]:
        with self._lock:
            self._owing = {one for one in self._owing if one.ending}
            kept = list(self._kept)
            if not kept:
                self._thread = None
            return kept

    def _run(self) -> None:
        while kept := self._next():
            for one in kept:
                self._tend(one)
            pause = min(one.interval for one in kept)
            del one, kept  # or they would never be collected
            time.sleep(pause)

    def _tend(self, one: Kept) -> None:
        try:
            one.tend(time.monotonic())
        except (redis.RedisError, OSError) as error:
            if (more := self._bursts.hit("redis", time.monotonic())) is not None:
                logger.warning("leases of messages cannot be renewed for now: %s (and %d times before)", error, more)
        except Exception:
            # the thread must outlive whatever it meets, or every message of this process runs twice
            if (more := self._bursts.hit("other", time.monotonic())) is not None:
                logger.exception("leases of messages cannot be renewed for now (and %d times before)", more)


_keeper = _Keeper()


def keep(kept: Kept) -> None:
    """Tend the leases of a Kombu channel until it is collected; once is enough.

    Args:
        kept: the channel's unacknowledged messages.
    """
    global _keeper
    if _keeper.pid != os.getpid():  # a new process has none of its parent's threads, nor its messages
        _keeper = _Keeper()
    _keeper.add(kept)
