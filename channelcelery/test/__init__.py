"""Test tools (Channels 1.x, items 209 to 218); `docs/testing.md` shows them, and the fixtures for pytest.

The names are resolved when first used: pytest imports the plugin beside this before Django has settings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channelcelery.test.base import ChannelTestCase, Client, TransactionChannelTestCase
    from channelcelery.test.liveserver import ChannelLiveServerTestCase
    from channelcelery.test.routes import apply_routes
    from channelcelery.test.websocket import HttpClient, WSClient

__all__ = [
    "ChannelLiveServerTestCase",
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]

_HOMES = {
    "ChannelLiveServerTestCase": "liveserver",
    "ChannelTestCase": "base",
    "Client": "base",
    "HttpClient": "websocket",
    "TransactionChannelTestCase": "base",
    "WSClient": "websocket",
    "apply_routes": "routes",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
