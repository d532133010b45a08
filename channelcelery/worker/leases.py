"""Signs of life of consumers whose turn it is: as long as they come, nobody takes the consumer for dead."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from channelcelery.core.bursts import Bursts
from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import RENEW
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.layer import ChannelLayer

__all__ = ["Leases"]

logger = logging.getLogger("django.channels.worker")


class Leases:
    """Renews what this process holds, from a thread, so that a consumer may take as long as it likes.

    The thread is started when first needed: in the pool's process, not in the one that it was forked from.
    """

    def __init__(self) -> None:
        self._held: dict[object, tuple[ChannelLayer, ReplyAddress, int]] = {}
        self._bursts = Bursts()
        self._interval = 1.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, layer: ChannelLayer, address: ReplyAddress, number: int) -> Iterator[None]:
        """Give signs of life of one message while the block runs."""
        key = object()
        self._held[key] = (layer, address, number)
        if self._thread is None or not self._thread.is_alive():
            self._start(layer)
        try:
            yield
        finally:
            del self._held[key]

    def _start(self, layer: ChannelLayer) -> None:
        with self._lock:
            self._interval = min(self._interval, layer.config.order_stall * RENEW)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="channelcelery-leases", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self._interval)
            running: dict[ChannelLayer, list[tuple[ReplyAddress, int]]] = {}
            for layer, address, number in list(self._held.values()):
                running.setdefault(layer, []).append((address, number))
            for layer, messages in running.items():
                try:
                    layer.order.renew(messages)
                except LayerUnavailable as error:
                    if (silent := self._bursts.hit("renew", time.monotonic())) is not None:
                        text = "%d consumers may be taken for dead, and overtaken (%d times before, unlogged): %s"
                        logger.warning(text, len(messages), silent, error)
