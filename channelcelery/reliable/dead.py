"""Dead letters: written by the run that ends a message, or by whoever empties the broker's queue of dead messages."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, router, transaction
from kombu.utils.json import loads

from channelcelery.core.reliable import Reason
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.reliable.moments import moment
from channelcelery.reliable.outbox import forget
from channelcelery.reliable.parcel import Parcel

__all__ = ["APP", "Death", "dead_letters", "drain", "keep", "record"]

logger = logging.getLogger("django.channels.reliable")

#: The label of the app that has the table.
APP = "channelcelery_reliable"
#: Characters of a traceback that are kept, its end rather than its beginning.
_TRACEBACK = 20_000
_DETAIL = 1_000
_HEADERS = {name: f"channelcelery_{name}" for name in ("reason", "detail", "traceback", "died")}


@dataclass(frozen=True, slots=True)
class Death:
    """A message that no consumer could handle.

    Args:
        parcel: the message; its attempt is the last run.
        reason: why.
        detail: the same in a line, for a person.
        traceback: of what the consumer raised.
        at: when, in seconds since the epoch.
    """

    parcel: Parcel
    reason: Reason
    detail: str = ""
    traceback: str = ""
    at: float = 0.0

    def task(self) -> Any:
        """Return the message as it lies in the broker's queue of dead ones."""
        message = self.parcel.task()
        message.headers.update(
            {
                _HEADERS["reason"]: str(self.reason),
                _HEADERS["detail"]: self.detail[:_DETAIL],
                _HEADERS["traceback"]: self.traceback[-_TRACEBACK:],
                _HEADERS["died"]: self.at,
            }
        )
        return message

    @classmethod
    def read(cls, headers: Mapping[str, Any], body: Any) -> "Death":
        """Read what `task` wrote, or what RabbitMQ took for dead.

        Raises:
            InvalidEnvelope: it is neither.
        """
        payload = loads(body) if isinstance(body, bytes | str) else body
        arguments = payload[0] if isinstance(payload, list) and payload else None
        parcel = Parcel.read(headers, arguments)
        said, died, now = headers.get(_HEADERS["reason"]), headers.get(_HEADERS["died"]), time.time()
        if said not in set(Reason):
            return cls(parcel, Reason.BROKER, "the broker delivered it too often", at=now)
        detail, traceback = (str(headers.get(_HEADERS[name], "")) for name in ("detail", "traceback"))
        at = float(died) if isinstance(died, int | float) and 0 < died < now else now
        return cls(parcel, Reason(said), detail, traceback, at)


def dead_letters() -> Any:
    """Return the model of dead letters, found by name: the app may not be installed.

    Raises:
        LookupError: it is not.
    """
    return apps.get_model(APP, "DeadLetter")


def record(death: Death) -> None:
    """Write a dead letter; a message that is there already is written anew. It leaves its outbox.

    Raises:
        DatabaseError, InterfaceError: the database did not take it.
        LookupError: "channelcelery.reliable" is not installed.
    """
    using = router.db_for_write(dead_letters())
    # in one transaction where both are in one database, else in this order
    with transaction.atomic(using=using):
        _write(death, using)
        if death.parcel.outbox == using:
            forget(death.parcel)
    if death.parcel.outbox in set(connections) - {using}:
        forget(death.parcel)


def _write(death: Death, using: str) -> None:
    parcel = death.parcel
    dead_letters().objects.using(using).update_or_create(
        message_id=parcel.id,
        defaults={
            "alias": parcel.alias,
            "channel": parcel.channel,
            "content": parcel.content,
            "reason": str(death.reason),
            "detail": _storable(death.detail[:_DETAIL]),
            "traceback": _storable(death.traceback[-_TRACEBACK:]),
            "attempts": parcel.attempt,
            "sent_at": moment(parcel.sent) if parcel.sent else None,
            "died_at": moment(death.at or time.time()),
        },
    )


def _storable(text: str) -> str:
    """Return a text that any database takes: PostgreSQL knows no NUL, and none knows halves of characters."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def keep(death: Death, bury: Callable[[Any], None]) -> None:
    """Write a dead letter, or have the broker keep it until a worker can write it.

    Args:
        death: the message.
        bury: puts its task into the broker's queue of dead ones.

    Raises:
        BrokerUnavailable: neither worked.
    """
    try:
        record(death)
    except (DatabaseError, InterfaceError, LookupError) as error:
        logger.error("a dead letter cannot be written and waits at the broker: %s", error)
        bury(death.task())


def drain(dig_up: Callable[[Callable[[Any], None]], bool], limit: int = 500) -> int:
    """Write what lies in the broker's queue of dead messages; each is forgotten there once it is written.

    Args:
        dig_up: takes the oldest out of that queue, and calls with it.
        limit: how many to write at most.

    Returns:
        How many were written.

    Raises:
        BrokerUnavailable: the broker did not answer.
        DatabaseError, InterfaceError: the database did not take it.
    """
    dead_letters().objects.exists()  # raises, rather than that messages are taken which cannot be written
    for number in range(limit):
        if not dig_up(_take):
            return number
    return limit


def _take(message: Any) -> None:
    try:
        record(Death.read(message.headers or {}, message.body))
    except (InvalidEnvelope, ValueError, TypeError) as error:
        logger.error("a dead message that no sender of ours wrote is dropped: %s", error)
