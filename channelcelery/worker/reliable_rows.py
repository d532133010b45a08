"""What a run has to do with the database: the row of its message in the outbox, and the mark that it is done."""

import logging
import time
from collections import Counter
from dataclasses import replace

from django.db import DatabaseError, InterfaceError
from django.utils.connection import ConnectionDoesNotExist

from channelcelery.core.bursts import Bursts
from channelcelery.reliable import outbox
from channelcelery.reliable.once import Mark, is_done, once
from channelcelery.reliable.parcel import Parcel
from channelcelery.worker.consume import Run, run_received
from channelcelery.worker.reading import Received

__all__ = ["leave_outbox", "row_due", "run_again_from_outbox", "run_once", "was_done"]

logger = logging.getLogger("django.channels.worker")

_bursts = Bursts()
#: What is raised where a database is away, or its tables.
_AWAY = (DatabaseError, InterfaceError, ConnectionDoesNotExist)


def row_due(parcel: Parcel) -> float | None:
    """Return when a message is to be published again, or None if it left its outbox: it is done, or dead.

    Where that cannot be known it is to run.
    """
    try:
        return outbox.due_of(parcel)
    except _AWAY as error:
        _tell("whether a message has left the outbox already is not known, so that it runs", error)
        return time.time() + outbox.wait_of(parcel)


def was_done(parcel: Parcel) -> bool:
    """Tell whether a message is marked as done, as far as that can be known."""
    try:
        return is_done(parcel.id)
    except _AWAY as error:
        _tell("whether a message is marked as done is not known", error)
        return False


def run_once(received: Received, parcel: Parcel) -> Run:
    """Run the consumer of a message so that its effects in the database of the marks happen once.

    Args:
        received: the message and its consumer.
        parcel: the message as it came.

    Returns:
        What came of it; nothing more if it was done before.
    """
    run, mark = Run(), None
    try:
        with once(parcel.id) as mark:
            if not mark.was_done:
                run = run_received(replace(received, outbox=mark.using), Counter())
                _end(run, parcel, mark)
    except _Undone:
        return run
    except Exception as error:
        if mark is None or not mark.committed:
            # of a run that could not be committed nothing may leave
            logger.exception("what a consumer of %s did is undone", parcel.channel)
            return Run(error=error)
        logger.exception("a consumer of %s is done, but something raised after its commit", parcel.channel)
    return run


class _Undone(Exception):
    """Rolls back."""


def _end(run: Run, parcel: Parcel, mark: Mark) -> None:
    if run.error is not None:
        raise _Undone
    mark.check()
    if parcel.outbox == mark.using:
        outbox.forget(parcel)


def leave_outbox(parcel: Parcel) -> None:
    """Take a message that is done out of its outbox; if that fails, it will run again."""
    try:
        outbox.forget(parcel)
    except _AWAY as error:
        _tell("messages that are done stay in the outbox, and will run again", error)


def run_again_from_outbox(parcel: Parcel, attempt: int, seconds: float) -> bool:
    """Leave it to the outbox to publish a message for another run.

    Args:
        parcel: the message.
        attempt: the number of that run.
        seconds: to wait before it.

    Returns:
        False if it cannot: the broker has to keep the message.
    """
    try:
        return outbox.postpone(parcel, attempt, seconds)
    except _AWAY as error:
        _tell("messages are to run again, but not from the outbox", error)
        return False


def _tell(what: str, error: Exception) -> None:
    if (silent := _bursts.hit(what, time.monotonic())) is not None:
        logger.warning("%s (%d times before, unlogged): %s", what, silent, error)
