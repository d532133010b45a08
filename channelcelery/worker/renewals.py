"""Messages from the outbox that run for long: the relay must not take them for lost."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from channelcelery.core.bursts import Bursts
from channelcelery.reliable import outbox
from channelcelery.reliable.parcel import Parcel

__all__ = ["Renewals", "renewing"]

logger = logging.getLogger("django.channels.worker")

#: Seconds between two looks at what runs.
LOOK_EVERY = 0.5


class Renewals:
    """Says of the messages that a process runs that they do, from a thread with connections of its own."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Parcel, float]] = {}
        self._bursts = Bursts()
        self._thread: threading.Thread | None = None

    @contextmanager
    def during(self, parcel: Parcel, due: float) -> Iterator[None]:
        """Keep the relay from publishing a message again while the block runs it.

        Args:
            parcel: the message.
            due: when it would be published, in seconds since the epoch.
        """
        self._running[parcel.id] = parcel, time.monotonic() + (due - time.time()) / 3
        if self._thread is None or not self._thread.is_alive():  # also in a new process
            self._thread = threading.Thread(target=self._run, name="channelcelery-renewals", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._running.pop(parcel.id, None)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            now = time.monotonic()
            due = [parcel for parcel, at in tuple(self._running.values()) if at <= now]
            for parcel in due:
                self._renew(parcel)
            if due:
                connections.close_all()

    def _renew(self, parcel: Parcel) -> None:
        seconds = outbox.wait_of(parcel) / 3
        try:
            outbox.renew(parcel)
        except Exception as error:  # the thread must outlive whatever the database raises
            seconds = LOOK_EVERY
            if (silent := self._bursts.hit("renew", time.monotonic())) is not None:
                text = "messages that run may be published again (%d times before, unlogged): %s"
                logger.warning(text, silent, error)
        if parcel.id in self._running:
            self._running[parcel.id] = parcel, time.monotonic() + seconds


#: Those of this process.
renewing = Renewals().during
