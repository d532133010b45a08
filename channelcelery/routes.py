"""Routes, classes as routes, and includes: what the list of a routing is made of (Channels 1.x, items 64 to 73)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from channelcelery.consumers import consumer_name
from channelcelery.core.filters import as_text, compile_filters, match_filters, named_groups
from channelcelery.core.names import check_normal_channel_name
from channelcelery.core.prefixes import PrefixIndex, literal_prefix
from channelcelery.core.reliable import Reliable
from channelcelery.message import Message

__all__ = [
    "Consumer",
    "Include",
    "Match",
    "Routable",
    "Route",
    "RouteClass",
    "Routing",
    "candidates",
    "index_routes",
    "load_routing",
    "policies_of",
    "read_reliable",
]

Consumer = Callable[..., Any]
Match = tuple[Consumer, dict[str, Any]]


class Routable(Protocol):
    """What a list of routes may hold; objects of one's own too (item 64)."""

    def match(self, message: Message, /) -> Match | None:
        """Return the consumer and its keyword arguments, or None."""

    def channel_names(self) -> Iterable[str]:
        """Return the channels that this may match; it is asked about no other."""


#: A dotted path to one of the others, a dict of channels and consumers, or a list of `Routable`s. Not typed as such:
#: type checkers make a list of objects of one that holds routes and includes.
Routing = str | Mapping[str, Any] | Iterable[Any]


class Route:
    """Sends the messages of some channels whose values match all filters to a consumer (items 65 to 67).

    Args:
        channels: the name of a normal channel, or a list of names.
        consumer: a function or a dotted path to one.
        reliable: True or a policy, where no message may get lost; all routes of a channel must agree on it.
        filters: key of the message -> regular expression that its value must begin with.

    Raises:
        ImproperlyConfigured: the path leads nowhere.
        InvalidName: a channel's name breaks the rules.
        TypeError: the consumer cannot be called, a filter is no text, or `reliable` no policy.
        ValueError: a filter is a bad regular expression, or has positional groups.
    """

    def __init__(
        self,
        channels: str | Iterable[str],
        consumer: Consumer | str,
        *,
        reliable: bool | Reliable = False,
        **filters: Any,
    ) -> None:
        names = [channels] if isinstance(channels, str | bytes) else channels
        self.channels = [check_normal_channel_name(name) for name in names]
        self.consumer = _load_consumer(consumer)
        self.reliable = read_reliable(f"route {'/'.join(self.channels)}", reliable)
        self.filters = compile_filters(f"route {'/'.join(self.channels)} -> {consumer_name(self.consumer)}", filters)
        # a subclass may match in its own way
        self.path_prefix = _path_prefix(self.filters) if type(self).match is Route.match else ""

    def match(self, message: Message) -> Match | None:
        """Return the consumer and its keyword arguments, or None."""
        if message.channel.name not in self.channels:
            return None
        matches = match_filters(self.filters, message)
        return None if matches is None else (self.consumer, named_groups(matches))

    def channel_names(self) -> set[str]:
        """Return the channels that this listens to."""
        return set(self.channels)

    def __str__(self) -> str:
        return f"{'/'.join(self.channels)}{_shown(self.filters)} -> {consumer_name(self.consumer)}"


class RouteClass(Route):
    """Sends messages to a class that says itself which channels it is for (item 71).

    Args:
        consumer: a class with a `channel_names()`, or a dotted path to one.
        reliable: as for `Route`.
        filters: as for `Route`.

    Raises:
        ValueError: the class has no `channel_names()`; and whatever `Route` raises.
    """

    def __init__(self, consumer: Consumer | str, *, reliable: bool | Reliable = False, **filters: Any) -> None:
        loaded = _load_consumer(consumer)
        names = getattr(loaded, "channel_names", None)
        if not callable(names):
            raise ValueError(f"{consumer_name(loaded)} has no channel_names() to say which channels it is for")
        super().__init__(sorted(names()), loaded, reliable=reliable, **filters)


class Include:
    """Takes other routing in; what its prefixes match is cut off before the routes inside look (items 69 and 70).

    Args:
        routing: a list of routes, a dict, or a dotted path to either.
        prefixes: key of the message -> regular expression that its value must begin with.

    Raises:
        ImproperlyConfigured: the path leads nowhere.
        TypeError: a prefix is no text.
        ValueError: a prefix is a bad regular expression, or has positional groups.
    """

    def __init__(self, routing: Routing, **prefixes: Any) -> None:
        self._path = routing if isinstance(routing, str) else None
        self.prefixes: dict[str, re.Pattern[str]] = {}
        self.routing = load_routing(routing)
        self.prefixes = compile_filters(str(self), prefixes)
        self.path_prefix = _path_prefix(self.prefixes) if type(self).match is Include.match else ""
        self._index: PrefixIndex[Routable] | None = None

    def match(self, message: Message) -> Match | None:
        """Return what the first route inside that matches returns, or None."""
        matches = match_filters(self.prefixes, message)
        if matches is None:
            return None
        inner = message
        if matches:
            # the routes see less of the values, the consumer gets the message whole
            inner = copy(message)
            inner.content = message.content | {key: match.string[match.end() :] for key, match in matches.items()}
        for entry in self.routing if self._index is None else candidates(self._index, inner):
            if (found := entry.match(inner)) is not None:
                consumer, kwargs = found
                return consumer, named_groups(matches) | kwargs
        return None

    def narrowed(self, routes: list[Routable]) -> "Include":
        """Return an include with the same prefixes and other routes, which stay as they are."""
        include = copy(self)
        include.routing, include._index = routes, index_routes(routes)
        return include

    def channel_names(self) -> set[str]:
        """Return the channels that the routes inside listen to."""
        return {name for entry in self.routing for name in entry.channel_names()}

    def __str__(self) -> str:
        shown = [str(entry) for entry in self.routing[:2]] + ["…"] * (len(self.routing) > 2)
        source = repr(self._path) if self._path else f"[{', '.join(shown)}]"
        return f"include of {source}{_shown(self.prefixes)}"


def index_routes(entries: Iterable[Routable]) -> PrefixIndex[Routable]:
    """Return an index of routes by what their paths begin with, so that a message is shown to few of very many."""
    return PrefixIndex((entry.path_prefix if isinstance(entry, Route | Include) else "", entry) for entry in entries)


def candidates(index: PrefixIndex[Routable], message: Message) -> list[Routable]:
    """Return the routes that may match a message, in their order; each has yet to be asked."""
    return index.candidates(as_text(message.get("path")) or "") if index.any_text is None else index.any_text


def _path_prefix(filters: Mapping[str, re.Pattern[str]]) -> str:
    return literal_prefix(filters["path"]) if "path" in filters else ""


def read_reliable(owner: str, reliable: object) -> Reliable | None:
    """Return the policy that `reliable=` stands for, or None.

    Args:
        owner: the route in words, for the error.
        reliable: True, False or a policy.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(reliable, bool):
        return Reliable() if reliable else None
    if not isinstance(reliable, Reliable):
        raise TypeError(
            f"reliable={reliable!r:.100} on {owner}: write True or Reliable(…); for messages with a key of this name "
            "use a route object of your own"
        )
    return reliable


def policies_of(entry: Routable, channel: str) -> Iterator[tuple[Reliable | None, str]]:
    """Yield what the routes of one channel say of its reliability, with the route in words.

    A route object of a project's own says something if it has an attribute `reliable`: a policy, or None.

    Args:
        entry: a route or an include.
        channel: a normal channel's name.
    """
    if isinstance(entry, Include):
        for inner in entry.routing:
            if channel in set(inner.channel_names()):
                yield from policies_of(inner, channel)
    elif hasattr(entry, "reliable"):
        yield read_reliable(str(entry), entry.reliable or False), str(entry)


def _load_consumer(consumer: Consumer | str) -> Consumer:
    loaded = _load(consumer, "consumer") if isinstance(consumer, str) else consumer
    if not callable(loaded):
        raise TypeError(f"{consumer!r:.200} is no consumer: write a function, a class or a dotted path to one")
    return loaded


def load_routing(routing: Routing) -> list[Routable]:
    """Return the routes of a routing.

    Raises:
        ImproperlyConfigured: a path leads nowhere, or to what is no routing.
    """
    loaded: Any = _load(routing, "channel routing") if isinstance(routing, str) else routing
    if isinstance(loaded, Mapping):
        return [Route(channel, consumer) for channel, consumer in loaded.items()]
    if isinstance(loaded, str | bytes) or not isinstance(loaded, Iterable):
        raise ImproperlyConfigured(f"{routing!r:.200} is no channel routing: write a list of routes, or a dict")
    return loaded if isinstance(loaded, list) else list(loaded)


def _load(path: str, what: str) -> Any:
    if "." not in path or "" in path.split("."):
        raise ImproperlyConfigured(f"Cannot import {what} {path!r}: write a dotted path such as 'app.module.name'")
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"Cannot import {what} {path!r}: {error}") from error


def _shown(filters: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name}={pattern.pattern}' for name, pattern in filters.items())})" if filters else ""
