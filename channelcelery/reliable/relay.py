"""The relay: publishes what stands in the outbox and was not published by its sender, or got lost by the broker."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction

from channelcelery.core.bursts import Bursts
from channelcelery.exceptions import BrokerUnavailable, ChannelFull
from channelcelery.layers import channel_layers
from channelcelery.reliable.moments import moment
from channelcelery.reliable.outbox import outbox_rows, parcel_of, reschedule, wait_of
from channelcelery.reliable.sending import FULL_AGAIN, ReliableSender

__all__ = ["databases", "relay"]

logger = logging.getLogger("django.channels.reliable")

#: Rows that are claimed together.
_BATCH = 200
#: Seconds for which one call publishes, after which another worker may be better off.
_LIMIT = 5.0
#: Seconds after which a row is tried again that cannot be published by this worker.
_LATER = 60.0

_bursts = Bursts()


def databases() -> list[str]:
    """Return the aliases of the databases that have an outbox."""
    model = apps.get_model("channelcelery_reliable", "OutboxRow")
    return [using for using in connections if router.allow_migrate_model(using, model) and _has_table(using)]


@cache
def _has_table(using: str) -> bool:
    table = apps.get_model("channelcelery_reliable", "OutboxRow")._meta.db_table
    with connections[using].cursor() as cursor:
        return table in connections[using].introspection.table_names(cursor)


def relay(using: str) -> int:
    """Publish what is due in a database's outbox; several processes may do so at once.

    Args:
        using: the database.

    Returns:
        How many were published.

    Raises:
        DatabaseError, InterfaceError: the database did not answer.
        BrokerUnavailable: the broker did not take all of it.
    """
    turn, until = _Turn(using), time.monotonic() + _LIMIT
    while time.monotonic() < until and turn.publish(until):
        pass
    if turn.refused is not None:
        raise turn.refused
    return turn.number


@dataclass
class _Turn:
    """One call of `relay`."""

    using: str
    number: int = 0
    #: what the broker said to the first message that it did not take
    refused: BrokerUnavailable | None = None
    #: (alias, channel) of what cannot be published now
    passed_over: set[tuple[str, str]] = field(default_factory=set)
    #: claimed rows, and until when they are
    rows: list[Any] = field(default_factory=list)
    claimed: float = 0.0
    #: (seconds to wait for its end, how often published) -> rows that were published
    settled: dict[tuple[float, int], list[Any]] = field(default_factory=dict)

    def publish(self, until: float) -> bool:
        """Publish one batch, and tell whether there was one.

        Args:
            until: the monotonic time to stop at.
        """
        # long enough for one publication that begins at the last moment
        most = max((channel_layers.config(alias).publish_timeout for alias in channel_layers), default=0.0)
        self.claimed = time.time() + _LIMIT + most + 1
        self.rows = _claim(self.using, self.claimed, self.passed_over)
        found = bool(self.rows)
        try:
            while self.rows and time.monotonic() < until:
                self._publish(self.rows[0])
        finally:
            # together, as each writing transaction may wait for a disk; who is killed here has published copies
            for (seconds, published), rows in self.settled.items():
                self._settle(rows, seconds, published)
            self.settled.clear()
            self._settle(self.rows, 0)  # what was not come to
        return found

    def _publish(self, row: Any) -> None:
        if (sender := _sender(row.alias)) is None:
            self._pass_over(row, _LATER)
            return
        parcel, begun = parcel_of(row, self.using), time.monotonic()
        try:
            sender.publish(parcel)
        except ChannelFull:
            self._pass_over(row, FULL_AGAIN)
            return
        except BrokerUnavailable as error:
            # it may be that channel's queue alone: the others come first, also where this took all the time there was
            self.refused = self.refused or error
            self._pass_over(row, FULL_AGAIN + time.monotonic() - begun)
            return
        self.rows.remove(row)
        self.settled.setdefault((wait_of(parcel), row.published + 1), []).append(row)
        self.number += 1

    def _pass_over(self, row: Any, seconds: float) -> None:
        key = (row.alias, row.channel)
        self.passed_over.add(key)
        self._settle([each for each in self.rows if (each.alias, each.channel) == key], seconds)
        self.rows = [each for each in self.rows if (each.alias, each.channel) != key]

    def _settle(self, rows: Sequence[Any], seconds: float, published: int | None = None) -> None:
        if rows:
            ids = [row.message_id for row in rows]
            reschedule(self.using, ids, self.claimed, time.time() + seconds, published)


def _claim(using: str, until: float, passed_over: Collection[tuple[str, str]]) -> list[Any]:
    """Take the rows that have been due for longest, so that nobody else publishes them until a time."""
    due = outbox_rows(using).filter(due_at__lte=moment(time.time()))
    for alias, channel in passed_over:
        due = due.exclude(alias=alias, channel=channel)
    due = due.order_by("due_at", "id")
    if connections[using].features.has_select_for_update_skip_locked:
        with transaction.atomic(using=using):
            rows = list(due.select_for_update(skip_locked=True)[:_BATCH])
            outbox_rows(using).filter(pk__in=[row.pk for row in rows]).update(due_at=moment(until))
        return rows
    rows = list(due[:_BATCH])
    if not rows:
        return []
    # it begins with a write, so that SQLite waits for its turn here, and never has to refuse later
    with transaction.atomic(using=using):
        return [row for row in rows if _take(using, row, until)]


def _take(using: str, row: Any, until: float) -> bool:
    return bool(outbox_rows(using).filter(pk=row.pk, due_at=row.due_at).update(due_at=moment(until)))


def _sender(alias: str) -> ReliableSender | None:
    """Return what sends by a layer, or None if this project has it not: another one wrote the row."""
    sender = channel_layers[alias].reliable if alias in channel_layers else None
    if isinstance(sender, ReliableSender):
        return sender
    if (silent := _bursts.hit("alias", time.monotonic())) is not None:
        logger.error("CHANNEL_LAYERS has no %r, whose messages stay in the outbox (%d unlogged)", alias, silent)
    return None
