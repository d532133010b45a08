"""Test tools (Channels 1.x, items 209 to 218); `docs/testing.md` shows them, and the fixtures for pytest."""

from channelcelery.test.base import ChannelTestCase, Client, TransactionChannelTestCase
from channelcelery.test.routes import apply_routes
from channelcelery.test.websocket import HttpClient, WSClient

__all__ = [
    "ChannelTestCase",
    "Client",
    "HttpClient",
    "TransactionChannelTestCase",
    "WSClient",
    "apply_routes",
]
