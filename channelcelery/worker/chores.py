"""What a worker does for its layers beside running consumers: on a thread, since Redis may take its time to answer."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection

from channelcelery.core.bursts import Bursts
from channelcelery.core.ordering import SWEEP
from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.upkeep import reap, send_due
from channelcelery.worker.handing import Take, sweep_orders

__all__ = ["Chores"]

logger = logging.getLogger("django.channels.worker")

#: Seconds between two looks for delayed messages that are due: they may be late by 0.1 s.
SEND_DUE_EVERY = 0.05
#: Seconds between two looks for interface processes that died.
REAP_EVERY = 5.0
#: Seconds of rest after a failure.
_REST = 1.0


class Chores:
    """Sends delayed messages that are due, lets connections go on that wait too long, and clears up after dead nodes.

    Nothing of this may run on the worker's event loop: while a layer's Redis hangs, consumers that never touch it go
    on.

    Args:
        aliases: the layers to look after.
        takes: makes, for an alias, what takes messages in front of those that wait at the broker.
        count: gets counts of what was lost, by reason.
    """

    def __init__(
        self,
        aliases: Collection[str],
        takes: Callable[[str], Take],
        count: Callable[[Counter[str]], object] = lambda lost: None,
    ) -> None:
        self._aliases = tuple(aliases)
        self._takes = takes
        self._count = count
        self._bursts = Bursts()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start, or go on."""
        if self._thread is not None and self._thread.is_alive() and not self._stopped.is_set():
            return
        self._stopped = threading.Event()
        name = "channelcelery-chores"
        self._thread = threading.Thread(target=self._run, args=(self._stopped,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for what is under way: messages that it has taken are nowhere else."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # a try that begins just within the limit takes as long again
        limit = 2 * max((channel_layers.config(alias).publish_timeout for alias in self._aliases), default=0.0)
        thread.join(limit + _REST)
        if thread.is_alive():
            logger.error("what is under way for delayed messages and dead interface processes is not waited for")
            return
        if owed := sum(len(items) for alias in self._aliases for items in channel_layers[alias].owed.values()):
            logger.error("%d disconnects of dead interface processes are lost: the broker did not take them", owed)

    def _run(self, stopped: threading.Event) -> None:
        sweep_at, reap_at = time.monotonic(), time.monotonic() + REAP_EVERY
        sweep_every = SWEEP * min((channel_layers.config(alias).order_stall for alias in self._aliases), default=10.0)
        while not stopped.wait(SEND_DUE_EVERY):
            well = self._for_each(send_due, stopped)
            if well and time.monotonic() >= sweep_at:
                well = self._for_each(self._sweep_orders, stopped)
                sweep_at = time.monotonic() + sweep_every
            if well and time.monotonic() >= reap_at:
                well = self._for_each(reap, stopped)
                reap_at = time.monotonic() + REAP_EVERY
            if not well:
                stopped.wait(_REST)

    def _sweep_orders(self, layer: ChannelLayer) -> int:
        return sweep_orders(layer, self._takes(layer.alias))

    def _for_each(self, chore: Callable[[ChannelLayer], int], stopped: threading.Event) -> bool:
        well = True
        for alias in self._aliases:
            if stopped.is_set():
                return False
            layer = channel_layers[alias]
            try:
                chore(layer)
            except Exception as error:  # the thread must outlive whatever a client library raises
                well = False
                self._tell(chore.__name__, error)
            if layer.dropped:
                self._count(layer.take_dropped())
        return well

    def _tell(self, chore: str, error: Exception) -> None:
        if (silent := self._bursts.hit(chore, time.monotonic())) is not None:
            known = isinstance(error, LayerUnavailable | BrokerUnavailable)
            text = "%s has to wait (%d times before, unlogged): %s"
            logger.warning(text, chore, silent, error, exc_info=None if known else error)
