"""The outbox: messages in the sender's database, written in its transaction, that stay there until they are done.

What the broker has of them is a hint: where it loses one, the row is published again (`relay`). A row's `due_at` says
when, and is the claim to publish it, too: who changes it from a value that it read has the row to itself until then.
"""

import time
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import router

from channelcelery.core.reliable import Reliable, wait_for_end
from channelcelery.layers import channel_layers
from channelcelery.layers.routers import reliable_channels_of
from channelcelery.reliable.moments import moment
from channelcelery.reliable.parcel import Parcel

__all__ = [
    "database",
    "due_of",
    "forget",
    "outbox_rows",
    "parcel_of",
    "postpone",
    "renew",
    "reschedule",
    "wait_of",
    "write",
]


def outbox_rows(using: str) -> Any:
    """Return the rows of a database's outbox, as a query.

    Raises:
        LookupError: "channelcelery.reliable" is not installed.
    """
    return apps.get_model("channelcelery_reliable", "OutboxRow").objects.using(using)


def database() -> str:
    """Return the alias of the database whose outbox a message goes to where its sender names none.

    Raises:
        LookupError: "channelcelery.reliable" is not installed.
    """
    return str(router.db_for_write(apps.get_model("channelcelery_reliable", "OutboxRow")))


def write(parcel: Parcel, due: float) -> None:
    """Write a message into its outbox, in the transaction that is under way there.

    Args:
        parcel: the message.
        due: when it is to be published, in seconds since the epoch, unless somebody is faster.

    Raises:
        DatabaseError, InterfaceError: the database did not take it.
    """
    outbox_rows(parcel.outbox).create(
        message_id=parcel.id,
        alias=parcel.alias,
        channel=parcel.channel,
        content=parcel.content,
        attempt=parcel.attempt,
        trace=parcel.trace,
        sent_at=moment(parcel.sent),
        due_at=moment(due),
    )


def parcel_of(row: Any, using: str) -> Parcel:
    """Return the message of a row, for its next publication."""
    return Parcel(
        row.message_id,
        row.alias,
        row.channel,
        bytes(row.content),
        attempt=row.attempt,
        sent=row.sent_at.timestamp(),
        outbox=using,
        copy=row.published,
        trace=row.trace,
    )


def wait_of(parcel: Parcel) -> float:
    """Return the seconds after which a message that is now published counts as lost if it has not ended.

    Args:
        parcel: the message; `copy` says how often it was published before.
    """
    policy = reliable_channels_of(parcel.alias).get(parcel.channel, Reliable())
    return wait_for_end(policy, channel_layers.config(parcel.alias).outbox_wait, parcel.copy + 1)


def reschedule(using: str, ids: Sequence[str], was_due: float, due: float, published: int | None = None) -> int:
    """Say when messages are to be published next, unless somebody has said so meanwhile.

    Args:
        using: the database.
        ids: the messages'.
        was_due: when they were, in seconds since the epoch, as it was written or read.
        due: when they are from now on.
        published: how often they have been, if they just were.

    Returns:
        How many these are: what is done, or is somebody else's to publish, is none of them.
    """
    changes = {"due_at": moment(due)} | ({} if published is None else {"published": published})
    return int(outbox_rows(using).filter(message_id__in=ids, due_at=moment(was_due)).update(**changes))


def due_of(parcel: Parcel) -> float | None:
    """Return when a message is to be published again, or None if it is in no outbox any more: it is done, or dead."""
    found = outbox_rows(parcel.outbox).filter(message_id=parcel.id).values_list("due_at", flat=True).first()
    return None if found is None else float(found.timestamp())


def postpone(parcel: Parcel, attempt: int, seconds: float) -> bool:
    """Have a message published for another run.

    Args:
        parcel: the message.
        attempt: the number of that run.
        seconds: to wait before it.

    Returns:
        False if it is in the outbox no more.
    """
    row = outbox_rows(parcel.outbox).filter(message_id=parcel.id)
    return bool(row.update(attempt=attempt, published=0, due_at=moment(time.time() + seconds)))


def renew(parcel: Parcel) -> None:
    """Say that a message runs, and is not lost: it has as long as if it had just been published."""
    outbox_rows(parcel.outbox).filter(message_id=parcel.id).update(due_at=moment(time.time() + wait_of(parcel)))


def forget(parcel: Parcel) -> None:
    """Take a message that is done, or dead, out of its outbox."""
    outbox_rows(parcel.outbox).filter(message_id=parcel.id).delete()
