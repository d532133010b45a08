"""Acknowledging reliable messages on AMQP a few at a time: each time costs a write here, and the broker even more.

A quorum queue puts each acknowledgement into its log, and a worker would write it before it gives a process the next
message.
"""

import logging
from typing import Any

from amqp.exceptions import AMQPError

from channelcelery.core.acks import AckWindow

__all__ = ["LATE", "MOST", "LateAcks"]

logger = logging.getLogger("django.channels.worker")

#: Acknowledgements that go together at most.
MOST = 3
#: Seconds that one waits for others at most: if the worker is killed meanwhile, its message runs again.
LATE = 0.005


class LateAcks:
    """The acknowledgements of one AMQP channel, all of whose deliveries pass here; for the loop's thread alone.

    Args:
        amqp_channel: a Kombu channel of the worker's connection.
        hub: the worker's event loop.
    """

    def __init__(self, amqp_channel: Any, hub: Any) -> None:
        self._amqp_channel = amqp_channel
        self._hub = hub
        self._window = AckWindow()
        self._most = MOST
        self._waiting: list[int] = []
        self._timer: Any = None

    def carries(self, amqp_channel: object) -> bool:
        """Tell whether deliveries of a channel pass here: Celery reads its own queues over another."""
        return amqp_channel is self._amqp_channel

    def delivered(self, tag: int) -> None:
        """Take note of a delivery, which no acknowledgement of others may settle."""
        self._window.delivered(tag)

    def settled(self, tag: int) -> None:
        """Take note that the broker has been told of a delivery otherwise."""
        self._window.accepted([tag])

    def acknowledge(self, tag: int, *_: object) -> None:
        """Acknowledge a delivery soon; further arguments are Celery's."""
        self._waiting.append(tag)
        if len(self._waiting) >= self._most:
            self.flush()
        elif self._timer is None:
            self._timer = self._hub.call_later(LATE, self.flush)

    def give_back(self, tag: int, *_: object) -> None:
        """Give a delivery back to its queue at once: what is acknowledged after it must not settle it too."""
        self._tell(self._amqp_channel.basic_reject, tag, requeue=True)
        self._window.accepted([tag])

    def flush(self) -> None:
        """Acknowledge what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tags, self._waiting = self._waiting, []
        for tag, multiple in self._window.accepted(tags):
            self._tell(self._amqp_channel.basic_ack, tag, multiple=multiple)

    def close(self) -> None:
        """Acknowledge what waits, and from now on each at once: the loop may not turn again."""
        self._most = 1
        self.flush()

    def _tell(self, tell: Any, tag: int, **options: bool) -> None:
        try:
            tell(tag, **options)
        except (AMQPError, OSError) as error:
            # the connection is gone, as the loop is about to notice: the broker delivers again what it was not told of
            logger.debug("the broker could not be told of delivery %d: %s", tag, error)
