"""Where Channels 1.x had its deprecated `HttpClient` (item 209)."""

from channelcelery.test.websocket import HttpClient

__all__ = ["HttpClient"]
