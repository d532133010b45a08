"""How a layer finds its router: routing imports layers, and so cannot be imported by them."""

from collections.abc import Callable, Mapping
from typing import Any

from channelcelery.core.reliable import Reliable
from channelcelery.exceptions import InvalidChannelLayerError

__all__ = ["find_routers_by", "reliable_channels_of", "router_of"]

_find: Callable[[str], Any] | None = None


def find_routers_by(find: Callable[[str], Any]) -> None:
    """Say how the router of an alias is found; the application does so when Django is set up.

    Args:
        find: returns the router of an alias, importing consumers no sooner than it is called.
    """
    global _find
    _find = find


def router_of(alias: str) -> Any:
    """Return the router of an alias.

    Raises:
        InvalidChannelLayerError: "channelcelery" is not in INSTALLED_APPS; and whatever `get_router` raises.
    """
    if _find is None:
        raise InvalidChannelLayerError(alias, "ROUTING", "put 'channelcelery' into INSTALLED_APPS, and set Django up")
    return _find(alias)


def reliable_channels_of(alias: str) -> Mapping[str, Reliable]:
    """Return the channels of an alias that its routing says are reliable; none where there is no routing.

    Raises whatever `get_router` raises where the routing is wrong.
    """
    if _find is None:
        return {}
    try:
        found: Mapping[str, Reliable] = _find(alias).reliable
    except KeyError:  # a layer that the settings do not have
        return {}
    return found
