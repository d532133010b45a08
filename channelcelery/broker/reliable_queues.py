"""The queues of reliable channels: what is declared for them, once and for ever the same on each broker."""

from typing import Any

from amqp.exceptions import PreconditionFailed
from kombu import Exchange, Queue

from channelcelery.exceptions import BrokerRefused

__all__ = ["DELIVERY_LIMIT", "dead_queue", "declare", "reliable_queue", "reliable_queue_name"]

#: Deliveries after which RabbitMQ itself takes a message for dead. Only a net below the count of attempts: the broker
#: counts deliveries that never ran, too. It is a constant, since a queue's arguments can never be changed.
DELIVERY_LIMIT = 200
#: As good as none, which only some versions can be told.
_NO_LIMIT = 10**9


def reliable_queue_name(prefix: str, channel: str) -> str:
    """Return the name of a reliable channel's queue; no best-effort channel's can be the same, as of the ":"."""
    return f"{prefix}reliable:{channel}"


def reliable_queue(prefix: str, channel: str, driver: str) -> Queue:
    """Return the queue of a reliable channel.

    Args:
        prefix: the layer's.
        channel: a normal channel's name.
        driver: the broker's kind, as Kombu's transports name it: "amqp", "redis" or "memory".
    """
    name = reliable_queue_name(prefix, channel)
    # a topic, since delayed delivery on RabbitMQ can lead back to no other kind
    exchange = Exchange(name, type="topic", durable=True)
    return Queue(name, exchange, routing_key=name, durable=True, queue_arguments=_arguments(prefix, driver))


def dead_queue(prefix: str, driver: str) -> Queue:
    """Return the queue where RabbitMQ puts what it takes for dead; on other brokers nothing does."""
    name = _dead(prefix)
    # RabbitMQ 4 would drop what was taken and given back 20 times, as happens while the database is away
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": _NO_LIMIT} if driver == "amqp" else None
    # fanout: a message keeps its routing key when it dies, and all are to arrive here
    return Queue(name, Exchange(name, type="fanout", durable=True), durable=True, queue_arguments=arguments)


def declare(queue: Queue, amqp_channel: Any) -> None:
    """Declare a queue of these.

    Raises:
        BrokerRefused: it, or its exchange, is there already with other arguments, which RabbitMQ cannot change.
    """
    try:
        queue.bind(amqp_channel).declare()
    except PreconditionFailed as error:
        raise BrokerRefused(
            f"its queue or exchange {queue.name} was declared before with other arguments ({error.reply_text}); what "
            "is in it stays there. Let what declared it empty it, delete it (rabbitmqctl delete_queue), and it is "
            "declared anew; or choose another CONFIG['prefix']"
        ) from error


def _dead(prefix: str) -> str:
    return f"{prefix}dead:letters"


def _arguments(prefix: str, driver: str) -> dict[str, Any] | None:
    if driver != "amqp":
        return None
    return {
        # on several nodes a confirmed message then survives the loss of any one of them
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": _dead(prefix),
        # the queue lets go of a dead message once the other one has confirmed it; this demands the overflow below
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
