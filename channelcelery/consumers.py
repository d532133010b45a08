"""`@consumer`: a function says itself which messages it is for, and no list of routes is needed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from django.utils.module_loading import autodiscover_modules

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.core.filters import compile_filters
from channelcelery.core.names import check_normal_channel_name
from channelcelery.core.reliable import Reliable

__all__ = ["ConsumerRegistry", "Registration", "autodiscover", "consumer", "consumer_name", "registry"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: Names that `Route` needs for its own arguments.
_RESERVED = frozenset({"self", "channels", "consumer"})


@dataclass(frozen=True)
class Registration:
    """One use of the decorator, checked; `Route` takes it as it is.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        channels: names of normal channels, at least one.
        function: the consumer.
        filters: key of the message -> regular expression.
        reliable: True, False or a policy, as for `Route`.
    """

    alias: str
    channels: tuple[str, ...]
    function: Callable[..., Any]
    filters: dict[str, Any]
    reliable: bool | Reliable = False

    def __str__(self) -> str:
        return f"@consumer({', '.join(map(repr, self.channels))}) {consumer_name(self.function)}"


class ConsumerRegistry:
    """The consumers that were decorated, in order of registration."""

    def __init__(self) -> None:
        self._registrations: list[Registration] = []

    def __iter__(self) -> Iterator[Registration]:
        return iter(tuple(self._registrations))

    def of(self, alias: str) -> list[Registration]:
        """Return the registrations for one layer, in order."""
        return [registration for registration in self if registration.alias == alias]

    def consumer(
        self,
        channel: str | Iterable[str],
        /,
        *,
        alias: str = DEFAULT_CHANNEL_LAYER,
        reliable: bool | Reliable = False,
        **filters: Any,
    ) -> Callable[[Decorated], Decorated]:
        """Return a decorator that registers a function and returns it unchanged; see `consumer`."""
        channels = _check_channels(channel)
        owner = f"@consumer({', '.join(map(repr, channels))})"
        if reserved := sorted(_RESERVED & filters.keys()):
            raise TypeError(f"filter {reserved[0]!r} on {owner}: use a route object of your own for this key")
        compile_filters(owner, filters)
        if not isinstance(reliable, bool | Reliable):
            raise TypeError(f"reliable={reliable!r:.100} on {owner}: write True or Reliable(…)")

        def register(function: Decorated) -> Decorated:
            if isinstance(function, type) or not callable(function):
                raise TypeError(
                    f"{owner} is for functions, not for {function!r}: put a class into ROUTING with route_class()"
                )
            self._registrations.append(Registration(alias, channels, function, filters, reliable))
            return function

        return register


def _check_channels(given: str | Iterable[str]) -> tuple[str, ...]:
    if not isinstance(given, str | bytes | Iterable):
        raise TypeError(f"write @consumer('channel', …) with the channel's name or a list of names, not {given!r}")
    names = [given] if isinstance(given, str | bytes) else list(given)
    if not names:
        raise ValueError("@consumer needs a channel: an empty list listens to nothing")
    return tuple(check_normal_channel_name(name) for name in names)


#: Where `@consumer` registers, for the routers of `channelcelery.routing.get_router`.
registry = ConsumerRegistry()


def consumer(
    channel: str | Iterable[str],
    /,
    *,
    alias: str = DEFAULT_CHANNEL_LAYER,
    reliable: bool | Reliable = False,
    **filters: Any,
) -> Callable[[Decorated], Decorated]:
    """Register a function (`def` or `async def`) for a channel's messages; may be used several times on one function.

    Args:
        channel: the name of a normal channel, or a list of names.
        alias: the layer's alias in CHANNEL_LAYERS.
        reliable: True or a policy, where no message may get lost; all consumers of a channel must agree on it.
        filters: key of the message -> regular expression that its value must begin with; named groups become keyword
            arguments of the function (Channels 1.x, items 66 and 67).

    Raises:
        InvalidName: a name breaks the rules, or only an interface process may read it.
        TypeError: a filter is no text, `reliable` no policy, or what is decorated no function.
        ValueError: a filter is a bad regular expression, or has positional groups.
    """
    return registry.consumer(channel, alias=alias, reliable=reliable, **filters)


def autodiscover() -> None:
    """Import `consumers` of every installed app, which registers what is decorated there."""
    autodiscover_modules("consumers")


def consumer_name(function: object) -> str:
    """Return a consumer's dotted name, for logs and errors."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
