"""Channel layers: both halves of one, and `channel_layers`, which holds those of the settings."""

from typing import TYPE_CHECKING, Any

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.layers.registry import channel_layers

if TYPE_CHECKING:
    from channelcelery.layers.memory import InMemoryChannelLayer
    from channelcelery.layers.redis import RedisChannelLayer

__all__ = ["DEFAULT_CHANNEL_LAYER", "InMemoryChannelLayer", "RedisChannelLayer", "channel_layers"]


def __getattr__(name: str) -> Any:
    if name == "RedisChannelLayer":
        from channelcelery.layers.redis import RedisChannelLayer

        return RedisChannelLayer
    if name == "InMemoryChannelLayer":
        from channelcelery.layers.memory import InMemoryChannelLayer

        return InMemoryChannelLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
