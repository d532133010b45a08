"""Channels for Django on the queue that Django shops already run.

The names are resolved when first used: the interface process imports this package too, and must not thereby
import routing or anything that runs user code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelcelery.channel import Channel, Group
    from channelcelery.consumers import consumer
    from channelcelery.core.reliable import Reliable
    from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
    from channelcelery.routing import include, route, route_class
    from channelcelery.worker import install

__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "Channel",
    "Group",
    "Reliable",
    "channel_layers",
    "consumer",
    "include",
    "install",
    "route",
    "route_class",
]

__version__ = "0.1.0"

_HOMES = {
    "Channel": "channel",
    "Group": "channel",
    "Reliable": "core.reliable",
    "consumer": "consumers",
    "DEFAULT_CHANNEL_LAYER": "layers",
    "channel_layers": "layers",
    "include": "routing",
    "route": "routing",
    "route_class": "routing",
    "install": "worker",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
