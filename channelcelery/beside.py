"""Threads beside the jobs of a worker's process, for what would hold one up: responses that are read slowly."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from asgiref.sync import async_to_sync
from celery.signals import worker_process_shutdown, worker_shutdown
from django.db import connections

from channelcelery.channel import send_at_once

__all__ = ["Beside", "beside"]

logger = logging.getLogger("django.channels.worker")

#: Threads of one process: each waits on a connection to Redis, of which a process has twice as many.
_MOST = 32
#: Seconds that a process which is to end waits for them: what is endless anyway is then asked to stop.
_GRACE = 10.0
#: Seconds for what was asked to stop.
_LAST_GRACE = 2.0


class Beside:
    """Runs calls in threads, a limited number at a time.

    Args:
        most: that number.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: dict[threading.Thread, tuple[Callable[[], None], tuple[str, str] | None]] = {}
        self._stopping = threading.Event()

    @property
    def responses(self) -> tuple[tuple[str, str], ...]:
        """The (alias, reply channel) of each response that a thread sends."""
        return tuple(response for _, response in tuple(self._running.values()) if response is not None)

    def run(
        self,
        call: Callable[[Callable[[], bool]], None],
        abandoned: Callable[[], None],
        response: tuple[str, str] | None = None,
    ) -> bool:
        """Run a call in a thread with the context of this one, or return false if there can be no more of them.

        Args:
            call: what it raises is logged; its argument tells whether it is to stop, which it asks now and then.
            abandoned: called if the process ends before it.
            response: alias and reply channel of what it sends; they are told where the process can call nothing more.
        """
        # jobs of one process may come from several threads, and one thread too many harms nobody
        if len(self._running) >= self._most or self._stopping.is_set():
            return False
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(self._run, call), name="channelcelery-beside", daemon=True)
        self._running[thread] = abandoned, response
        try:
            thread.start()
        except RuntimeError:  # the system's own limit
            del self._running[thread]
            return False
        return True

    def _run(self, call: Callable[[Callable[[], bool]], None]) -> None:
        try:
            # asgiref's locals, such as Django's language and time zone, are of one thread even in a copied context;
            # this alone takes them over
            async_to_sync(_nothing)()
            with send_at_once():
                call(self._stopping.is_set)
        except (Exception, SystemExit):  # Python would end the thread at the latter without a word
            logger.exception("what a consumer left to a thread failed")
        finally:
            connections.close_all()  # those of this thread, which nobody uses again
            self._running.pop(threading.current_thread(), None)

    def finish(self, timeout: float = _GRACE) -> None:
        """Wait for what runs, ask the rest to stop, abandon what does not, and take nothing more.

        Args:
            timeout: seconds to wait before asking.
        """
        self._join(timeout)
        self._stopping.set()
        self._join(_LAST_GRACE)
        for abandoned, _ in tuple(self._running.values()):
            try:
                abandoned()
            except Exception:  # the others, too
                logger.exception("what a consumer left to a thread was not abandoned in good order")

    def _join(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        for thread in tuple(self._running):
            thread.join(max(0.0, until - time.monotonic()))


async def _nothing() -> None:
    pass


beside = Beside(_MOST)


def _on_process_end(**kwargs: object) -> None:
    beside.finish()


# of a pool's process, and of a worker whose pool has none
worker_process_shutdown.connect(_on_process_end, dispatch_uid="channelcelery.beside", weak=False)
worker_shutdown.connect(_on_process_end, dispatch_uid="channelcelery.beside", weak=False)
