"""Effects once: what a consumer does in the database and the mark that its message is done are one transaction."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import IntegrityError, router, transaction

from channelcelery.reliable.moments import moment

__all__ = ["Mark", "is_done", "marks_database", "once", "sweep"]

logger = logging.getLogger("django.channels.reliable")

#: Marks that are swept in one go.
_SWEPT_AT_ONCE = 10_000


class Mark:
    """The mark of one message, while its consumer runs.

    Args:
        message_id: the message.
        using: the database.
    """

    def __init__(self, message_id: str, using: str) -> None:
        self.using = using
        self._message_id = message_id
        #: whether the message was done before, so that nothing is to be done
        self.was_done = False
        #: whether the transaction was committed, whatever else happened then
        self.committed = False

    def commit_seen(self) -> None:
        """Take note of the commit."""
        self.committed = True

    def check(self) -> None:
        """Make sure that the transaction can be committed: a database error that the consumer caught may forbid it.

        Raises:
            DatabaseError: it cannot.
        """
        # the end of atomic() would roll back without a word
        if transaction.get_rollback(using=self.using) or not is_done(self._message_id):
            raise transaction.TransactionManagementError(
                "the consumer caught an error of the database that had ended the transaction which it shares with the "
                "mark of its message: put what may fail into a transaction.atomic() of its own, inside of the try"
            )


@contextmanager
def once(message_id: str) -> Iterator[Mark]:
    """Run the block in a transaction that marks a message as done; what it raises rolls both back.

    Of two that run at the same time the second waits for the first, at the mark: on PostgreSQL for that row, on SQLite
    for the whole database.

    Raises:
        DatabaseError, InterfaceError: the database did not take it.
    """
    using = marks_database()
    mark = Mark(message_id, using)
    with transaction.atomic(using=using):
        # before any of the consumer's own, which may raise
        transaction.on_commit(mark.commit_seen, using=using)
        try:
            _marks(using).create(message_id=message_id, done_at=moment(time.time()))
        except IntegrityError:  # which has ended the transaction: there is nothing to commit
            mark.was_done = True
        yield mark


def is_done(message_id: str) -> bool:
    """Tell whether a message is marked as done."""
    return bool(_marks(marks_database()).filter(message_id=message_id).exists())


def sweep(older: float) -> int:
    """Forget marks, some thousands at a time.

    Args:
        older: seconds; younger ones stay.

    Returns:
        How many were forgotten.
    """
    using = marks_database()
    old = _marks(using).filter(done_at__lt=moment(time.time() - older)).order_by("done_at")
    found = list(old.values_list("message_id", flat=True)[:_SWEPT_AT_ONCE])
    number, _ = _marks(using).filter(message_id__in=found).delete()
    return int(number)


def marks_database() -> str:
    """Return the alias of the database that has the marks, and so must have what happens once."""
    return str(router.db_for_write(apps.get_model("channelcelery_reliable", "Done")))


def _marks(using: str) -> Any:
    return apps.get_model("channelcelery_reliable", "Done").objects.using(using)
