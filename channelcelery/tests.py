"""The deprecated name of `channelcelery.test`, as Channels 1.x had one (item 209)."""

import warnings

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

warnings.warn("channelcelery.tests is deprecated, use channelcelery.test", DeprecationWarning, stacklevel=2)
