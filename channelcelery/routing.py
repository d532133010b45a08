"""Which consumer gets a message: routes, includes, and the router of a layer (Channels 1.x, items 64 to 77).

A router looks only at the routes of a message's own channel, and of these at those whose path may fit: it sorts them
when it is made, includes taken apart, and order kept.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.consumers import autodiscover, consumer_name, registry
from channelcelery.core.prefixes import PrefixIndex
from channelcelery.core.reliable import Reliable
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.routes import (
    Consumer,
    Include,
    Match,
    Routable,
    Route,
    RouteClass,
    Routing,
    candidates,
    index_routes,
    load_routing,
    policies_of,
)

__all__ = [
    "Include",
    "Routable",
    "Route",
    "RouteClass",
    "Router",
    "connect_consumer",
    "get_router",
    "include",
    "make_router",
    "null_consumer",
    "replace_router",
    "replaced_router",
    "reset_routers",
    "route",
    "route_class",
]

logger = logging.getLogger("django.channels.worker")


_NO_ROUTES: PrefixIndex[Routable] = PrefixIndex(())


class Router:
    """Finds the consumer of a message (item 74).

    Args:
        routing: a list of routes, a dict, or a dotted path to either.

    Raises:
        ImproperlyConfigured: a path leads nowhere, something in a list is no route, or the routes of a channel disagree
            on whether it is reliable.
    """

    def __init__(self, routing: Routing) -> None:
        self._routes = _by_channel(load_routing(routing), "the routing")
        self._indexes = {channel: index_routes(entries) for channel, entries in self._routes.items()}
        #: the reliable channels, each with its policy
        self.reliable: dict[str, Reliable] = {}
        self._agree(self._routes)

    @property
    def channels(self) -> set[str]:
        """The channels listened to."""
        return set(self._routes)

    def consumer_names(self, channel: str) -> set[str]:
        """Return the dotted names of a channel's consumers, as far as its routes tell them."""
        return {name for entry in self._routes.get(channel, ()) for name in _names(entry, channel)}

    def match(self, message: Message) -> Match | None:
        """Return the consumer and its keyword arguments from the first route that matches, or None."""
        index = self._indexes.get(message.channel.name, _NO_ROUTES)
        for entry in candidates(index, message):
            if (found := entry.match(message)) is not None:
                return found
        return None

    def add_route(self, route: Routable) -> None:
        """Add a route after all others."""
        for channel, entries in _by_channel([route], "add_route()").items():
            self._routes.setdefault(channel, []).extend(entries)
            self._indexes[channel] = index_routes(self._routes[channel])
            self._agree([channel])

    def _agree(self, channels: Iterable[str]) -> None:
        """Take note of which channels are reliable, or refuse what cannot be so."""
        for channel in channels:
            said = [each for entry in self._routes[channel] for each in policies_of(entry, channel)]
            policies = {policy for policy, _ in said}
            if len(policies) > 1:
                raise ImproperlyConfigured(
                    f"The consumers of {channel} disagree on whether and how it is reliable, which belongs to the "
                    f"channel: write the same reliable=… for {'; '.join(route for _, route in said)}"
                )
            policy = next(iter(policies), None)
            if policy is not None and channel.startswith(("websocket.", "http.")):
                raise ImproperlyConfigured(
                    f"{channel} cannot be reliable: what comes from a connection is over when that is. Forward what "
                    f"must not get lost to a channel of your own: Channel('orders').send({{…}}) in {said[0][1]}"
                )
            if policy is not None:
                self.reliable[channel] = policy

    def check_default(self, http_consumer: Consumer | str | None = None) -> None:
        """Add, after all others, consumers for what interface processes send whether anyone listens or not (item 75).

        Args:
            http_consumer: consumer of `http.request`; Django's views, if it is not given.
        """
        self.add_route(Route("http.request", http_consumer or _view_consumer()))
        self.add_route(Route("websocket.connect", connect_consumer))
        self.add_route(Route(["http.disconnect", "websocket.receive", "websocket.disconnect"], null_consumer))


def connect_consumer(message: Message, *args: Any, **kwargs: Any) -> None:
    """Accept a socket that no route is for."""
    logger.info("no route for websocket.connect matches the path %.200r: accepted", message.get("path"))
    if message.reply_channel is not None:
        message.reply_channel.send({"accept": True})


def null_consumer(*args: Any, **kwargs: Any) -> None:
    """Do nothing with a message that no route is for."""


def _names(entry: Routable, channel: str) -> Iterator[str]:
    if isinstance(entry, Include):
        for inner in entry.routing:
            if channel in set(inner.channel_names()):
                yield from _names(inner, channel)
    elif isinstance(entry, Route):
        yield consumer_name(entry.consumer)


def _by_channel(entries: Iterable[Routable], where: str) -> dict[str, list[Routable]]:
    """Sort routes by channel, in order; of an include each channel gets only what is for it."""
    sorted_: dict[str, list[Routable]] = {}
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, str | bytes) or not hasattr(entry, "match") or not hasattr(entry, "channel_names"):
            raise ImproperlyConfigured(
                f"Entry {number} of {where} is no route: {entry!r:.200}. Write route(), include(), route_class(), or "
                "an object with match(message) and channel_names()"
            )
        for channel, inner in _split(entry).items():
            sorted_.setdefault(channel, []).extend(inner)
    return sorted_


def _split(entry: Routable) -> dict[str, list[Routable]]:
    if type(entry) is not Include:
        # a route object of one's own, or a subclass that may match in its own way, is asked as it is
        return {channel: [entry] for channel in entry.channel_names()}
    inside = _by_channel(entry.routing, str(entry))
    return {channel: [entry.narrowed(routes)] for channel, routes in inside.items()}


# lower case as in urls.py, and as Channels 1.x has them
route = Route
route_class = RouteClass
include = Include

_routers: dict[str, Router] = {}
_replaced: dict[str, Router] = {}
_making = threading.RLock()


def make_router(alias: str) -> Router:
    """Make a layer's router of its ROUTING and then the decorated consumers, without the defaults.

    Raises as `get_router` does.
    """
    router = Router(channel_layers.config(alias).routing or [])
    autodiscover()
    for found in registry.of(alias):
        router.add_route(Route(found.channels, found.function, reliable=found.reliable, **found.filters))
    return router


def get_router(alias: str = DEFAULT_CHANNEL_LAYER) -> Router:
    """Return the router of a layer: its ROUTING, then the decorated consumers, then the defaults.

    It is made when first asked for, which is the one place that imports the apps' consumers.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.

    Raises:
        KeyError: CHANNEL_LAYERS has no such alias.
        InvalidChannelLayerError: its entry is wrong.
        ImproperlyConfigured: its ROUTING cannot be loaded.
    """
    with _making:
        if alias in _replaced:
            return _replaced[alias]
        if alias not in _routers:
            router = make_router(alias)
            router.check_default()
            _routers[alias] = router
        return _routers[alias]


def _view_consumer() -> Consumer:
    # by name, since it knows more than this module does; middleware and URLconf wait for the first request
    files_too = settings.DEBUG and apps.is_installed("django.contrib.staticfiles")
    path = "channelcelery.staticfiles.StaticFilesConsumer" if files_too else "channelcelery.handler.ViewConsumer"
    consumer: Consumer = import_string(path)()
    return consumer


def replaced_router(alias: str) -> Router | None:
    """Return what stands in the place of a layer's router, if anything does."""
    return _replaced.get(alias)


def replace_router(alias: str, router: Router | None) -> Router | None:
    """Have `get_router` return another router, or the layer's own again; for tests (item 216) and runserver.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        router: what stands in the place of the layer's own; None ends that.

    Returns:
        What stood there before, or None.
    """
    with _making:
        old = _replaced.pop(alias, None)
        if router is not None:
            _replaced[alias] = router
        return old


def reset_routers() -> None:
    """Forget the routers, so that changed settings or registrations count; for tests."""
    with _making:
        _routers.clear()


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in {"CHANNEL_LAYERS", "DEBUG", "INSTALLED_APPS"}:
        reset_routers()


setting_changed.connect(_on_setting_changed, dispatch_uid="channelcelery.routing")
