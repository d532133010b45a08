"""Models that tell sockets of their changes, and take changes from them (Channels 1.x, items 196 to 205)."""

from channelcelery.binding.base import Binding

__all__ = ["Binding"]
