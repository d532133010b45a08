"""`InterfaceApplication`: the ASGI application that holds sockets and runs no consumer, route or view."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import django
from django.apps import apps
from django.conf import settings

from channelcelery.conf import DEFAULT_CHANNEL_LAYER, LayerConfig
from channelcelery.exceptions import ChannelCeleryError
from channelcelery.interface.events import Receive, Scope, Send
from channelcelery.interface.faults import Faults, logger
from channelcelery.interface.http import HttpApplication, http_application
from channelcelery.interface.intake import Intake
from channelcelery.interface.limits import Gate
from channelcelery.interface.node import Node
from channelcelery.interface.origins import origins_of
from channelcelery.interface.surroundings import Surroundings
from channelcelery.interface.websocket import open_socket, serve_websocket
from channelcelery.interface.wire import own_wire
from channelcelery.observe.endpoint import Endpoint, address_of

__all__ = ["InterfaceApplication"]

#: Seconds for the publisher to publish what waits when the process ends.
_PUBLISHER_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class _Running:
    around: Surroundings
    node: Node
    intake: Intake
    http: HttpApplication
    endpoint: Endpoint | None


class InterfaceApplication:
    """An ASGI application for any server; nothing is read or opened before the first call.

    Servers that speak the lifespan protocol open it at their start and close it at their end; with others it opens at
    the first connection.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        allow_local: whether queues and replies may be in this process's memory, since its worker is in it too.
        changes: keys of CONFIG that have another value in this process.
        subprotocols: those that sockets speak; None means CHANNELS_WS_PROTOCOLS (item 124).
        root_path: where the site is mounted, if the server does not say it (SCRIPT_NAME).
        static: whether static files come before pages that it serves itself, in DEBUG.
        metrics: where probes and Prometheus may ask (`observe.endpoint.address_of`); nowhere by default.
    """

    def __init__(
        self,
        alias: str = DEFAULT_CHANNEL_LAYER,
        *,
        allow_local: bool = False,
        changes: Mapping[str, Any] | None = None,
        subprotocols: Sequence[str] | None = None,
        root_path: str = "",
        static: bool = True,
        metrics: str = "",
    ) -> None:
        self.alias = alias
        self._allow_local = allow_local
        self._changes = dict(changes or {})
        self._subprotocols = subprotocols
        self._root_path = root_path
        self._static = static
        self._metrics = metrics
        #: counts by reason of what was dropped, refused or survived; its server counts there, too
        self.faults = Faults()
        #: whether its server listens, where it says so: lifespan ends before that
        self.listens: Callable[[], bool] = lambda: True
        self._running: _Running | None = None

    @property
    def dropped(self) -> Counter[str]:
        """Counts by reason of what was dropped, refused or survived."""
        return self.faults.dropped

    def check(self) -> LayerConfig:
        """Set Django up if need be, and return the layer's settings if they are fit for an interface process.

        Raises:
            KeyError: CHANNEL_LAYERS has no such alias.
            InvalidChannelLayerError: its entry is wrong, or the process could not reach any other.
        """
        if not apps.ready:
            django.setup()
        from channelcelery.broker.connection import require_shared
        from channelcelery.layers import channel_layers

        config = channel_layers.config(self.alias)
        if not self._allow_local:
            require_shared(config, "the interface")
        return replace(config, **self._changes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if self._root_path:
            scope["root_path"] = self._root_path
        match scope["type"]:
            case "websocket":
                around, wire = self._run().around, own_wire(scope)
                if wire is None:
                    await serve_websocket(around, scope, receive, send)
                else:
                    wire.begin(open_socket(around, scope, wire))
            case "http":
                await self._run().http(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case other:
                raise ValueError(f"an ASGI connection of type {other!r} cannot be served")

    def _run(self) -> _Running:
        """Open what is not open yet. It waits for nothing, so that two connections cannot open it twice."""
        if self._running is None:
            self._running = self._open()
            self._running.node.start()
        return self._running

    def _open(self) -> _Running:
        config = self.check()
        # imported here, since they bring Redis and Kombu along
        from channelcelery.broker.thread import PublisherThread
        from channelcelery.interface.probe import InterfaceProbe
        from channelcelery.layers import channel_layers

        layer = channel_layers[self.alias]
        publisher = PublisherThread(layer.publisher, config)
        intake = Intake(config, publisher, self.faults)
        node = Node(layer, intake, self.faults)
        around = Surroundings(
            config=config,
            node=node,
            hub=node.hub,
            intake=intake,
            faults=self.faults,
            errands=node.errands,
            origins=origins_of(config),
            gate=Gate(config, self.faults),
            subprotocols=self._spoken(),
        )
        http = http_application(around, static=self._static)
        endpoint = None
        if self._metrics:
            loop = asyncio.get_running_loop()
            probe = InterfaceProbe(loop, layer, node, publisher, around.faults, lambda: self.listens())
            endpoint = Endpoint(address_of(self._metrics), probe)
            logger.info("metrics at %s/metrics", endpoint.address)
        publisher.start()
        return _Running(around, node, intake, http, endpoint)

    def _spoken(self) -> tuple[str, ...]:
        if self._subprotocols is not None:
            return tuple(self._subprotocols)
        return tuple(getattr(settings, "CHANNELS_WS_PROTOCOLS", ()))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # "lifespan.startup"
        try:
            self._running = self._open()
            await self._running.node.open()
            self._running.node.start()
        except Exception as error:  # the server ends, and says why
            if not isinstance(error, ChannelCeleryError | KeyError):
                logger.critical("the interface cannot start", exc_info=True)
            await self.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # "lifespan.shutdown"
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def drain(self) -> None:
        """Take no more sockets, and close those that are there one after the other, over CONFIG["drain_seconds"]."""
        if self._running is not None:
            await self._running.node.drain()

    async def close(self) -> None:
        """Close every socket, publish what waits and leave nothing behind; takes a few seconds at most."""
        running, self._running = self._running, None
        if running is None:
            return
        await running.node.close()
        await running.intake.stop(_PUBLISHER_GRACE)
        if running.endpoint is not None:
            await asyncio.to_thread(running.endpoint.close)
        if self.dropped:
            logger.info("dropped or refused until the end: %s", dict(self.dropped))
