"""What an interface process tells operators of itself; asked on other threads than that of the event loop."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from channelcelery.broker.thread import PublisherThread
from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.faults import Faults
from channelcelery.interface.node import Node
from channelcelery.layers.layer import ChannelLayer
from channelcelery.observe.metrics import Value

__all__ = ["InterfaceProbe"]

#: Seconds for the event loop to take a turn: above them it hangs, or sockets are served too slowly to be of use.
TURN = 5.0


class InterfaceProbe:
    """A `Probe` of an interface process.

    Args:
        loop: the event loop of its sockets.
        layer: whose node it is.
        node: holds the sockets.
        publisher: publishes their messages.
        faults: counts what goes wrong.
        listens: tells whether its server listens.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        layer: ChannelLayer,
        node: Node,
        publisher: PublisherThread,
        faults: Faults,
        listens: Callable[[], bool] = lambda: True,
    ) -> None:
        self._loop, self._layer, self._node = loop, layer, node
        self._publisher, self._faults, self._listens = publisher, faults, listens

    def live(self) -> str:
        """Return why the process should be started again: its event loop hangs."""
        turned = threading.Event()
        with suppress(RuntimeError):  # the loop has ended, and the process is about to
            self._loop.call_soon_threadsafe(turned.set)
            if not turned.wait(TURN):
                return f"the event loop took no turn in {TURN:g} s"
        return ""

    def ready(self) -> str:
        """Return why no socket should be sent here."""
        if not self._listens():
            return "the server does not listen yet"
        return "" if self._node.takes_sockets else "the channel layer is not reached, or this process ends"

    def values(self) -> Mapping[str, Value]:
        """Return the metrics; those of the inbox are missing while Redis is away."""
        hub = self._node.hub
        # copied in one step, since the event loop goes on meanwhile
        dropped = {**self._faults.dropped}
        for reason, number in {**self._publisher.dropped}.items():
            dropped[reason] = dropped.get(reason, 0) + number
        values: dict[str, Value] = {
            "ready": float(not self.ready()),
            "dropped": dropped,
            "connections": hub.counts(),
            "groups": hub.group_count,
            "published": {**self._publisher.published},
            "publish_waiting": self._publisher.waiting,
            "delivered": {"reply": hub.replies, "group": hub.group_sends},
        }
        with suppress(LayerUnavailable):
            [status] = self._layer.replies.status(self._node.name)
            values |= {
                "inbox_entries": status.entries,
                "inbox_bytes": status.bytes,
                "inbox_lag_seconds": status.lag,
            }
        return values
