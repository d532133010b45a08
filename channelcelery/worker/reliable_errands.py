"""What a worker does for reliable channels beside running them: jobs of its pool, since they need the database.

The worker's own process has no connection to a database that the pool's processes would inherit.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import close_old_connections

from channelcelery.core.bursts import Bursts
from channelcelery.layers import channel_layers
from channelcelery.reliable.once import sweep
from channelcelery.reliable.relay import databases, relay
from channelcelery.routing import get_router
from channelcelery.worker.reliable_ends import sender_of

__all__ = [
    "DRAIN_EVERY",
    "RELAY_EVERY",
    "TIDY_EVERY",
    "Errands",
    "drain_dead",
    "has_outboxes",
    "relay_outbox",
    "sweep_marks",
]

logger = logging.getLogger("django.channels.worker")

#: Seconds between two looks for messages that are dead for the broker, or that the database did not take.
DRAIN_EVERY = 5.0
#: Seconds between two looks into the outbox, where a channel has one.
RELAY_EVERY = 0.5
#: Seconds between two where none has any more, and between two sweeps of marks.
TIDY_EVERY = 60.0
#: Seconds for which one sweep goes on.
_SWEEPING = 5.0
#: Seconds after which a job counts as lost with its process.
_LOST = 120.0

_bursts = Bursts()


class Errands:
    """Gives a worker's pool its jobs, of each kind one at a time.

    Args:
        timer: the worker's.
        pool: its pool.
        aliases: the layers whose reliable channels it reads.
    """

    def __init__(self, timer: Any, pool: Any, aliases: Sequence[str]) -> None:
        self._pool = pool
        self._under_way: dict[Callable[..., None], float] = {}
        outboxes = any(has_outboxes(alias) for alias in channel_layers)
        every = {
            partial(self._give, drain_dead, (tuple(aliases),)): DRAIN_EVERY,
            partial(self._give, relay_outbox, ()): RELAY_EVERY if outboxes else TIDY_EVERY,
            partial(self._give, sweep_marks, ()): TIDY_EVERY,
        }
        self._timers = [timer.call_repeatedly(seconds, call) for call, seconds in every.items()]

    def _give(self, job: Callable[..., None], arguments: tuple[object, ...]) -> None:
        now = time.monotonic()
        if now - self._under_way.get(job, float("-inf")) < _LOST:
            return  # all processes of the pool are busy
        self._under_way[job] = now
        ended = partial(self._ended, job)
        self._pool.apply_async(job, arguments, callback=ended, error_callback=ended)

    def _ended(self, job: Callable[..., None], result: object) -> None:
        self._under_way.pop(job, None)

    def stop(self) -> None:
        """Give no more."""
        for timer in self._timers:
            timer.cancel()


def has_outboxes(alias: str) -> bool:
    """Tell whether messages of a layer may go through the outbox: those that an idempotent consumer sends do, too."""
    policies = get_router(alias).reliable.values()
    return channel_layers.config(alias).outbox or any(policy.outbox or policy.idempotent for policy in policies)


def drain_dead(aliases: Sequence[str]) -> None:
    """Write what lies in the broker's queues of dead messages; never raises.

    Args:
        aliases: the layers whose queues these are.
    """
    for alias in aliases:
        _run("dead messages stay at the broker", partial(_drain, alias))


def _drain(alias: str) -> None:
    if number := sender_of(channel_layers[alias]).drain_dead():
        logger.error("%d messages that were dead at the broker are dead letters now", number)


def relay_outbox() -> None:
    """Publish what is due in the outboxes; never raises."""
    _run("messages stay in the outbox", _relay)


def _relay() -> None:
    for using in databases():
        # one that is away holds up no other
        _run(f"messages stay in the outbox of {using}", partial(relay, using))


def sweep_marks() -> None:
    """Forget what was marked as done long ago; never raises."""
    _run("old marks stay", _sweep)


def _sweep() -> None:
    older = max(channel_layers.config(alias).done_expiry for alias in channel_layers)
    until = time.monotonic() + _SWEEPING
    total = number = sweep(older)
    # as many as have become old since the last time, however many that are
    while number and time.monotonic() < until:
        number = sweep(older)
        total += number
    if total:
        logger.info("%d marks of messages that were done are forgotten", total)


def _run(what: str, call: Callable[[], object]) -> None:
    close_old_connections()
    try:
        call()
    except Exception as error:  # the database or the broker is away; there is a next time
        if (silent := _bursts.hit(what, time.monotonic())) is not None:
            logger.warning("%s (%d times before, unlogged): %s", what, silent, error)
    finally:
        close_old_connections()
