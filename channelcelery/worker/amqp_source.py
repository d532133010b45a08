"""Reading normal channels from a broker that keeps a record of deliveries: RabbitMQ.

A bounded number of messages is under way, and each is acknowledged when it goes to the pool.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amqp.exceptions import AMQPError
from kombu import Connection, Consumer, Message

from channelcelery.core.acks import AckWindow
from channelcelery.core.backlog import Delivery, Key
from channelcelery.core.sealing import Seal
from channelcelery.worker.deliveries import Received, decode, drop, queues_of, seals_of

__all__ = ["BUDGET", "MOST", "AmqpSource"]

logger = logging.getLogger("django.channels.worker")

#: Unacknowledged broker messages of all queues together, each of which may carry a batch: with few of them a job is
#: small, and its cost is that of many messages; many may wait here while another worker is idle.
BUDGET = 256
#: Those of one queue at most.
MOST = 64
#: Ids of messages that were acknowledged lately, to recognise one whose acknowledgement was lost with the connection.
REMEMBERED = 4_096


class AmqpSource:
    """Reads from a broker that keeps a record of deliveries.

    Args:
        amqp_channel: a Kombu channel of the worker's connection, for this source alone.
        received: takes what was read.
        dropped: counts what could not be read, by reason.
        seen: ids of messages that were acknowledged; shared by the sources of one worker's successive connections.
    """

    def __init__(
        self, amqp_channel: Any, received: Received, dropped: Callable[[str], None], seen: OrderedDict[str, None]
    ) -> None:
        self._amqp_channel = amqp_channel
        self._received = received
        self._dropped = dropped
        self._seen = seen
        self._window = AckWindow()
        self._queues: Mapping[str, Key] = {}
        self._seals: Mapping[str, Seal] = {}
        self._consumer: Consumer | None = None

    def consume(self, queues: Mapping[str, Key]) -> None:
        """Start, with a share of the budget for each queue, since the broker counts per consumer."""
        self._queues = queues
        self._seals = seals_of(queues)
        self._consumer = Consumer(
            self._amqp_channel,
            queues=queues_of(queues),
            on_message=self._on_message,
            on_decode_error=self._on_decode_error,
            prefetch_count=max(1, min(MOST, BUDGET // max(1, len(queues)))),
            auto_declare=True,
        )
        self._consumer.consume()

    def watch(self, connection: Connection, hub: Any) -> None:
        """Read once more: deliveries that came with the answers to `consume` lie in the client's buffer, unseen."""
        hub.call_soon(connection.transport.on_readable, connection.connection, hub)

    def _on_message(self, message: Message) -> None:
        tag = int(message.delivery_tag or 0)
        delivery = Delivery(tag, str(message.properties.get("message_id") or ""))
        self._window.delivered(tag)
        read = decode(message, self._queues, self._seals, self._dropped)
        known = message.delivery_info.get("redelivered") and delivery.message_id in self._seen
        if read is None or known:
            self.acknowledge([delivery])
            return
        self._received(*read, delivery)

    def _on_decode_error(self, message: Message, error: Exception) -> None:
        drop(message.delivery_info.get("routing_key"), error, self._dropped)
        tag = int(message.delivery_tag or 0)
        self._window.delivered(tag)
        self.acknowledge([Delivery(tag)])

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send as few acknowledgements as settle these deliveries."""
        for delivery in deliveries:
            if delivery.message_id:
                self._seen[delivery.message_id] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            for tag, multiple in self._window.accepted([d.tag for d in deliveries if d.tag is not None]):
                self._amqp_channel.basic_ack(tag, multiple=multiple)
        except (AMQPError, OSError) as error:
            # the connection is gone, as the event loop is about to notice: the ids tell what comes again
            logger.debug("%d deliveries could not be acknowledged: %s", len(deliveries), error)

    def close(self) -> None:
        """Stop; RabbitMQ puts what was not acknowledged back in its old place."""
        self._amqp_channel.close()
