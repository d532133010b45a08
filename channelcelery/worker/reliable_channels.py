"""Which reliable channels a worker reads, and what must be right for them before it starts."""

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from celery.concurrency import get_implementation
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections

from channelcelery.broker.safe_app import is_safe
from channelcelery.core.backlog import Key
from channelcelery.layers import channel_layers
from channelcelery.reliable.dead import APP
from channelcelery.reliable.tables import missing_tables
from channelcelery.routing import get_router

__all__ = ["AHEAD", "check_reliable", "is_chosen", "label_of", "prefetch_of", "reliable_channels"]

logger = logging.getLogger("django.channels.worker")

#: Messages that a worker takes beside those that it can run: its processes have something to do while it waits for the
#: next from the broker. With one process that is what Celery takes; it is not as many for each, since these wait behind
#: long runs while other workers may be idle.
AHEAD = 3


def is_chosen(channel: str, only: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether a worker's globs choose a channel (item 88)."""
    chosen = not only or any(fnmatchcase(channel, glob) for glob in only)
    return chosen and not any(fnmatchcase(channel, glob) for glob in exclude)


def reliable_channels(only: Sequence[str], exclude: Sequence[str]) -> list[Key]:
    """Return the reliable channels that a worker reads.

    Args:
        only: globs of channels to run; empty means all.
        exclude: globs of channels not to run, taken from these.

    Returns:
        Pairs of an alias and a channel.
    """
    return [
        (alias, channel)
        for alias in channel_layers
        for channel in sorted(get_router(alias).reliable)
        if is_chosen(channel, only, exclude)
    ]


def label_of(alias: str, channel: str) -> str:
    """Return what Flower and logs call a channel's tasks: its consumer, or the channel if it has several."""
    names = get_router(alias).consumer_names(channel)
    return next(iter(names)) if len(names) == 1 else channel


def prefetch_of(pool: Any, channels: Sequence[Key]) -> int:
    """Return how many messages of each queue a worker may have that are not done.

    What it gives back at its end counts as a run, though it may have waited only: no more than can run at once where a
    message has one run, nor where the pool runs at its end all that it has.

    Args:
        pool: the worker's, running.
        channels: what `reliable_channels` returned.
    """
    running = max(1, int(pool.num_processes or 1))
    only_one = any(get_router(alias).reliable[channel].max_attempts == 1 for alias, channel in channels)
    return running if only_one or not pool.uses_semaphore else running + AHEAD


def check_reliable(app: Any, pool: Any, channels: Sequence[Key], *, embedded: bool = False) -> None:
    """Refuse a worker that could not keep what reliable channels promise.

    Args:
        app: the worker's Celery app.
        pool: its pool, a name or a class.
        channels: what `reliable_channels` returned.
        embedded: whether it runs within another process, for development; time limits are let go there.

    Raises:
        ImproperlyConfigured: it could not.
    """
    for alias in channel_layers:
        router = get_router(alias)
        for channel in sorted(router.channels - router.reliable.keys()):
            if channel_layers[alias].is_reliable(channel):
                raise ImproperlyConfigured(
                    f"CONFIG['reliable_channels'] of {alias} says that {channel} is reliable, its consumers do not: "
                    "write reliable=True for these, or take it out of the list"
                )
    if not channels:
        return
    names = ", ".join(sorted(channel for _, channel in channels))
    if not is_safe(app):
        raise ImproperlyConfigured(
            f"{names} must be reliable, but the app's connections to Redis are Kombu's own, which lose messages: call "
            "channelcelery.install(app) before the app connects, and set no amqp_cls of its own after that"
        )
    if not apps.is_installed("channelcelery.reliable"):
        raise ImproperlyConfigured(
            f"{names} must be reliable, but there are no tables for that: put 'channelcelery.reliable' into "
            f"INSTALLED_APPS, and run manage.py migrate {APP}"
        )
    if not {"json", "application/json"} & set(app.conf.accept_content):
        raise ImproperlyConfigured(f"{names} must be reliable, whose messages are JSON: add it to accept_content")
    if get_implementation(pool) is not get_implementation("prefork"):
        _check_limits(channels, embedded=embedded)
    _check_tables(names)


def _check_limits(channels: Sequence[Key], *, embedded: bool) -> None:
    for alias, channel in channels:
        if (limit := get_router(alias).reliable[channel].time_limit) is None:
            continue
        text = f"{channel} has a time limit of {limit:g} s, which only the pool prefork can enforce"
        if not embedded:
            raise ImproperlyConfigured(f"{text}: use -P prefork, or leave Reliable(time_limit=…) out")
        logger.warning("%s: here it has none", text)


def _check_tables(names: str) -> None:
    try:
        missing = missing_tables()
    except (DatabaseError, InterfaceError) as error:  # it may come later, as the broker may
        logger.warning("not checked whether the tables of reliable channels are there: %s", error)
        missing = []
    finally:
        # the pool's processes, which are forked from this one, must not have them
        connections.close_all()
    if missing:
        raise ImproperlyConfigured(
            f"{names} must be reliable, but there is no table {', '.join(missing)}: run manage.py migrate {APP}"
        )
