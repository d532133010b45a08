"""Consumers as classes (Channels 1.x, items 178 to 195)."""

from channelcelery.generic.base import BaseConsumer

__all__ = ["BaseConsumer"]
