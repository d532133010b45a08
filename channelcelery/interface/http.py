"""HTTP in the interface process: by workers, by Django's own handler, or not at all, as CONFIG["http"] says."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.utils.module_loading import import_string

from channelcelery.conf import LayerConfig
from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.answers import answer
from channelcelery.interface.bodies import BoundedBodies, HttpApplication, Limits
from channelcelery.interface.events import Receive, Scope, Send
from channelcelery.interface.exchange import Exchange
from channelcelery.interface.faults import logger
from channelcelery.interface.request import Arrival, read_body, refusal, request_content
from channelcelery.interface.spool import Spool
from channelcelery.interface.surroundings import Surroundings

__all__ = ["HttpApplication", "HttpByWorkers", "http_application"]

#: Bytes of one request's body that are held in memory, as Django holds them (FILE_UPLOAD_MAX_MEMORY_SIZE).
_IN_MEMORY = 2_621_440


def http_application(around: Surroundings, *, static: bool = True) -> HttpApplication:
    """Return what answers HTTP.

    Args:
        around: what requests share with sockets.
        static: whether Django's own handler has static files before it, in DEBUG (item 112).
    """
    config = around.config
    if config.http == "off":
        return _nothing_here
    limits = Limits(config.body_size, config.body_timeout, config.body_rate, around.faults)
    by_workers = HttpByWorkers(around, limits)
    if config.http == "worker":
        return by_workers
    inline = BoundedBodies(_inline(static), limits)
    is_routed = _route_matcher(config)
    return inline if is_routed is None else _Sorted(is_routed, by_workers, inline)


class HttpByWorkers:
    """Has requests answered by consumers of `http.request`: views, unless the project routes them elsewhere.

    Args:
        around: what requests share with sockets.
        limits: what their bodies may be.
    """

    def __init__(self, around: Surroundings, limits: Limits) -> None:
        self._around = around
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        faults, path = self._around.faults, scope["path"]
        if reason := refusal(scope):
            faults.note("request_invalid", "a request for %.200a got 400: %s", path, reason)
            await answer(400, scope, send)
            return
        if not self._around.node.ready:
            faults.note("not_ready", "requests get 503 while the channel layer's Redis is away")
            await answer(503, scope, send)
            return
        spool = Spool(self._around.room, _IN_MEMORY)
        try:
            await self._serve(spool, scope, receive, send)
        finally:
            await spool.close()

    async def _serve(self, spool: Spool, scope: Scope, receive: Receive, send: Send) -> None:
        faults, path = self._around.faults, scope["path"]
        body = self._limits.body(scope, receive)
        match await read_body(body, spool):
            case Arrival.GONE:
                return
            case Arrival.BROKEN:
                await self._limits.refuse(body.fault or "body_size", scope, send)
                return
            case Arrival.NO_ROOM:
                faults.note("body_full", "the body of a request for %.200a got 503: there is no room for it", path)
                await answer(503, scope, send)
                return
        exchange = Exchange(self._around, scope, send, spool)
        try:
            await exchange.begin()
        except ChannelFull as error:
            faults.note("request_full", "requests get 503: %s", error)
            await answer(503, scope, send)
        except InvalidContent as error:
            faults.note("request_invalid", "a request for %.200a got 400: %s", path, error)
            await answer(400, scope, send)
        else:
            await exchange.run(receive)


class _Sorted:
    """Has workers answer what a route of the project's own matches, and Django's handler all else."""

    def __init__(self, is_routed: Callable[[Scope], bool], routed: HttpApplication, other: HttpApplication) -> None:
        self._is_routed = is_routed
        self._routed = routed
        self._other = other

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        chosen = self._routed if self._is_routed(scope) else self._other
        answered: Awaitable[None] = chosen(scope, receive, send)
        return answered


def _route_matcher(config: LayerConfig) -> Callable[[Scope], bool] | None:
    """Return what tells whether a route of the project's own matches a request, or None if it has none for them."""
    # by name: this alone brings routing and consumers into an interface process, which otherwise reaches neither
    router: Any = import_string("channelcelery.routing.make_router")(config.alias)
    if "http.request" not in router.channels:
        return None
    message: Any = import_string("channelcelery.message.Message")
    layer = import_string("channelcelery.layers.channel_layers")[config.alias]
    address = ReplyAddress("inline", "unused")

    def is_routed(scope: Scope) -> bool:
        return router.match(message(request_content(scope, address, b""), "http.request", layer)) is not None

    return is_routed


def _inline(static: bool) -> HttpApplication:
    # imported here: this alone loads middleware, URLconf and views, which an interface process otherwise never does
    from django.apps import apps
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler

    logger.info(
        "HTTP is served in the interface process (CONFIG['http'] is 'inline'), which loads routes and views: deploying "
        "new ones restarts its sockets"
    )
    # not get_asgi_application(), which would set up Django and its logging a second time
    handler = ASGIHandler()
    if static and settings.DEBUG and apps.is_installed("django.contrib.staticfiles"):
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        return ASGIStaticFilesHandler(handler)
    return handler


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(404, scope, send)
