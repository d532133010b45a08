"""`Message`: what a consumer is called with (items 33 to 35)."""

from collections.abc import ItemsView, KeysView, ValuesView
from copy import deepcopy
from typing import Any
from uuid import uuid4

from channelcelery.channel import Channel
from channelcelery.layers.layer import ChannelLayer

__all__ = ["Message"]

_NO_CHANNEL = "no-channel"


class Message:
    """One message on its way through consumers and their decorators, which may hang attributes on it.

    Args:
        content: the message itself.
        channel_name: the channel that it came by; None, as tests of consumers write it, stands for no channel of note.
        channel_layer: the layer that it came by; channels made from it are bound to the same. None means the default.
        id: what `Channel.send` returned for it, on a reliable channel; None has one made up.
        attempt: which run of it this is, from 1.
        redelivered: whether it was delivered before, and may have run then.
    """

    def __init__(
        self,
        content: dict[str, Any],
        channel_name: str | None,
        channel_layer: ChannelLayer | None,
        *,
        id: str | None = None,
        attempt: int = 1,
        redelivered: bool = False,
    ) -> None:
        self.content = content
        self._id = id
        self.attempt = attempt
        self.redelivered = redelivered
        self.channel = Channel(_NO_CHANNEL if channel_name is None else channel_name, channel_layer=channel_layer)
        self.channel_layer = channel_layer = self.channel.channel_layer
        reply = content.get("reply_channel")
        #: whether a worker sees to its order; None outside of workers
        self.ordered: bool | None = None
        self.reply_channel = Channel(reply, channel_layer=channel_layer) if reply else None

    @property
    def id(self) -> str:
        """The message's id: the same in each run of it."""
        if self._id is None:
            self._id = uuid4().hex
        return self._id

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        return self.content.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the content's keys."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the content's values."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the content's items."""
        return self.content.items()

    def copy(self) -> "Message":
        """Return a message with a deep copy of the content, on the same channel and layer."""
        return type(self)(
            deepcopy(self.content),
            self.channel.name,
            self.channel_layer,
            id=self.id,
            attempt=self.attempt,
            redelivered=self.redelivered,
        )

    def __repr__(self) -> str:
        # never the values: they may hold cookies and what users wrote
        return f"<Message on {self.channel.name}, keys {sorted(self.content)}>"
