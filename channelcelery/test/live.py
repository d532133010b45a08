"""A live site for tests: the real interface and a real Celery worker, as processes, on the test database (item 217)."""

import json
import logging
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Self

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel as VirtualChannel

from channelcelery.broker.connection import connect, require_shared
from channelcelery.broker.publisher import queue_name
from channelcelery.conf import LayerConfig
from channelcelery.exceptions import BrokerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.redis_clients import reaching_redis, sync_client
from channelcelery.routing import get_router, replaced_router
from channelcelery.test.live_main import Orders
from channelcelery.test.live_process import LiveProcess

__all__ = ["LiveSite", "overridden"]

logger = logging.getLogger("django.channels.test")

#: The most that a prefix may have before what makes it this site's alone.
_PREFIX = 26


class LiveSite:
    """Interface and worker on a layer of TEST_CONFIG, with a prefix of their own; a context manager.

    Args:
        host: the name that the site is reached by, on this machine.
        port: where it listens; 0 means any that is free.
        serve_static: whether static files are served without DEBUG.
        worker_threads: consumers that may run at the same time.
        changed: settings that tests overrode, for the processes to override too.

    Raises:
        ImproperlyConfigured: a test database is in memory, there are several layers, a setting cannot be handed on, or
            the routing cannot be loaded.
        InvalidChannelLayerError: there is no TEST_CONFIG, or it or the broker is in this process's memory.
        BrokerUnavailable: on entering, the broker is not there.
        LayerUnavailable: on entering, the layer's Redis is not there.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 0,
        *,
        serve_static: bool = True,
        worker_threads: int = 1,
        changed: Mapping[str, Any] | None = None,
    ) -> None:
        self._alias, config = _layer()
        prefix = f"{config.prefix[:_PREFIX]}{secrets.token_hex(6)}:"
        self.config = replace(config, prefix=prefix)
        self.host, self.port = host, port
        self._queues = [queue_name(prefix, channel) for channel in get_router(self._alias).channels]
        self._orders = Orders(
            role="",
            alias=self._alias,
            prefix=prefix,
            host=host,
            socket=-1,
            serve_static=serve_static,
            threads=worker_threads,
            databases=_databases(),
            settings=_portable({"DEBUG": settings.DEBUG} | dict(changed or {})),
        )
        self._processes: list[LiveProcess] = []
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The site's address for HTTP."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The site's address for sockets."""
        return f"ws://{self.host}:{self.port}"

    @property
    def pids(self) -> list[int]:
        """The ids of its processes."""
        return [process.pid for process in self._processes]

    def __enter__(self) -> Self:
        _reach(self.config)
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server((self.host, self.port), backlog=128))
            self.port = listener.getsockname()[1]
            stack.callback(self._clean_up)
            for orders in (
                replace(self._orders, role="worker"),
                replace(self._orders, role="interface", socket=listener.fileno()),
            ):
                process = LiveProcess(orders)
                self._processes.append(process)
                stack.callback(process.stop)
            listener.close()
            for process in self._processes:
                process.wait_until_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def layer(self) -> Iterator[ChannelLayer]:
        """Have this process send by the site's layer, for the block."""
        layer = channel_layers.make(self.config)
        before = channel_layers.set(self._alias, layer)
        try:
            yield layer
        finally:
            channel_layers.set(self._alias, before)
            layer.close()

    def output(self) -> str:
        """Return what its processes wrote, for who looks into a failure."""
        return "\n".join(f"--- output of the {process.name}\n{process.output()}---" for process in self._processes)

    def _clean_up(self) -> None:
        """Delete what the site left in the broker and in Redis."""
        self._processes.clear()
        try:
            _delete_queues(self._orders.queue, self._queues)
            _delete_keys(self.config)
        except (OperationalError, OSError, redis.RedisError) as error:
            prefix = self.config.prefix
            logger.warning("queues and keys of a live site, which begin with %s, stay: %s", prefix, error)


def _reach(config: LayerConfig) -> None:
    """Find out before anything is started whether broker and Redis are there: a worker would wait for a long time."""
    with reaching_redis():
        for url in config.hosts:
            with sync_client(config, url) as client:
                client.ping()
    try:
        with connect() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except OperationalError as error:
        raise BrokerUnavailable(error) from error


def _delete_queues(tasks: str, channels: Iterable[str]) -> None:
    with connect() as connection:
        connection.ensure_connection(max_retries=1)
        amqp_channel: Any = connection.channel()
        if isinstance(amqp_channel, VirtualChannel):
            # a queue takes the bindings along that its own connection knows of
            amqp_channel.exchange_declare(exchange=tasks, type="direct")
            amqp_channel.queue_bind(queue=tasks, exchange=tasks, routing_key=tasks)
        for name in (tasks, *channels):
            amqp_channel.queue_delete(name)
        amqp_channel.exchange_delete(tasks)


def _delete_keys(config: LayerConfig) -> None:
    for url in config.hosts:
        with sync_client(config, url) as client:
            for key in client.scan_iter(f"{config.prefix}*", count=1000):
                client.unlink(key)


def _layer() -> tuple[str, LayerConfig]:
    aliases = list(channel_layers)
    if len(aliases) != 1:
        raise ImproperlyConfigured(
            f"a live site has one channel layer, and CHANNEL_LAYERS has {len(aliases)}: override the setting for the "
            "test's class, with one layer"
        )
    if replaced_router(aliases[0]) is not None:
        raise ImproperlyConfigured("apply_routes reaches no other process: override ROUTING in CHANNEL_LAYERS instead")
    config = channel_layers.test_config(aliases[0])
    require_shared(config, "a live site")
    return aliases[0], config


def _databases() -> dict[str, str]:
    names = {}
    for connection in connections.all():
        if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
            raise ImproperlyConfigured(
                f"the test database {connection.alias!r} is in this process's memory, where a live site cannot reach "
                'it: name a file in DATABASES, {"TEST": {"NAME": "test.sqlite3"}}'
            )
        names[connection.alias] = str(connection.settings_dict["NAME"])
    return names


def _portable(values: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(
                f"the overridden setting {name} cannot be handed to the processes of a live site ({error}): override "
                "it with what JSON can hold, such as dotted paths, or change it in a settings module for tests"
            ) from error
    return dict(values)


def overridden(case: Any) -> dict[str, Any]:
    """Return the settings that a test class overrides by Django's decorators, as they are now.

    Args:
        case: a subclass of SimpleTestCase.
    """
    modified: Iterable[tuple[str, Any]] = case._modified_settings or ()
    names = {*(case._overridden_settings or {}), *(name for name, _ in modified)}
    return {name: getattr(settings, name) for name in names}
