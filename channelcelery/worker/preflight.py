"""What must be right before a worker starts: settings, routing, the pool, and a broker that others can reach."""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import django
from celery import bootsteps
from celery.concurrency import get_implementation
from celery.signals import worker_process_shutdown
from click import ClickException
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from channelcelery.broker.connection import broker_app, require_shared
from channelcelery.broker.publisher import queue_name
from channelcelery.core.backlog import Key
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.layers import channel_layers
from channelcelery.routing import get_router
from channelcelery.worker.reliable_channels import check_reliable, is_chosen, reliable_channels

__all__ = ["POOLS", "Preflight", "queues_to_consume"]

logger = logging.getLogger("django.channels.worker")

_CELERYS_AUTOSCALER = "celery.worker.autoscale:Autoscaler"
_AUTOSCALER = "channelcelery.worker.autoscale:ChannelsAutoscaler"

#: The pools that are tested; another may lose messages at its end.
POOLS = ("prefork", "threads", "solo")


class Preflight(bootsteps.Step):
    """Refuses a worker that could not do its work, with the reason, before anything is started."""

    def __init__(
        self,
        worker: Any,
        only_channels: Sequence[str] = (),
        exclude_channels: Sequence[str] = (),
        channels_embedded: bool = False,
        **kwargs: Any,
    ) -> None:
        try:
            if not apps.ready:
                django.setup()
            for alias in channel_layers:
                if not channels_embedded:
                    require_shared(channel_layers.config(alias), "celery worker")
                channel_layers[alias].check_broker()
            queues_to_consume(only_channels, exclude_channels)
            _check_pool(worker.pool_cls)
            if not channels_embedded and get_implementation(worker.pool_cls) is not get_implementation("prefork"):
                logger.warning(
                    "a consumer may run for ever: only the pool prefork ends one that takes longer than "
                    "CONFIG['time_limit'], this one just logs it"
                )
            reliable = reliable_channels(only_channels, exclude_channels)
            check_reliable(broker_app(), worker.pool_cls, reliable, embedded=channels_embedded)
            if worker.loglevel and worker.loglevel <= logging.DEBUG:
                # Celery's -l reaches the root logger only, and LOGGING often pins "django"
                logging.getLogger("django.channels").setLevel(logging.DEBUG)
        except (InvalidChannelLayerError, ImproperlyConfigured) as error:
            raise ClickException(str(error)) from error
        if getattr(worker, "autoscaler_cls", None) == _CELERYS_AUTOSCALER:  # and not the project's own
            worker.autoscaler_cls = _AUTOSCALER
        # Celery's pool logs the arguments of its jobs at DEBUG, and ours are messages: cookies and what users wrote
        logging.getLogger("celery.pool").setLevel(logging.INFO)
        # registers the task, before the pool forks
        import_module("channelcelery.worker.reliable_task")
        worker_process_shutdown.connect(_close_layers)
        super().__init__(worker, **kwargs)


def _close_layers(**kwargs: Any) -> None:
    # prefork's processes end without Python's own farewell
    channel_layers.close()


def _check_pool(pool: Any) -> None:
    tested = {get_implementation(name) for name in POOLS}
    if get_implementation(pool) not in tested:
        raise ImproperlyConfigured(
            f"channels are tested on the pools {', '.join(POOLS)}, not on {pool}: use -P {POOLS[0]}"
        )


def queues_to_consume(only: Sequence[str], exclude: Sequence[str]) -> Mapping[str, Key]:
    """Return the queues that a worker reads: those of all routed channels, filtered by globs (item 88).

    Args:
        only: globs of channels to run; empty means all.
        exclude: globs of channels not to run, taken from these.

    Returns:
        Queue name -> (alias, channel).

    Raises:
        ImproperlyConfigured: no channel is left, or two layers share their queues.
    """
    queues: dict[str, Key] = {}
    prefixes: dict[str, str] = {}
    for alias in channel_layers:
        prefix = channel_layers.config(alias).prefix
        if (other := prefixes.setdefault(prefix, alias)) != alias:
            raise ImproperlyConfigured(
                f"the channel layers {other!r} and {alias!r} share their queues: give each its own CONFIG['prefix']"
            )
        for channel in sorted(get_router(alias).channels):
            if is_chosen(channel, only, exclude):
                queues[queue_name(prefix, channel)] = (alias, channel)
    if not queues and len(list(channel_layers)):
        raise ImproperlyConfigured("no channel is left to run: check --only-channels and --exclude-channels")
    return queues
