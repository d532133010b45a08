"""`channel_layers`: the layers of CHANNEL_LAYERS by alias, made when first used (item 43)."""

import atexit
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings

from channelcelery.conf import LayerConfig, layer_config
from channelcelery.exceptions import ChannelCeleryError, InvalidChannelLayerError
from channelcelery.layers.base import ReliablePublisher
from channelcelery.layers.layer import ChannelLayer

__all__ = ["ChannelLayers", "channel_layers"]

logger = logging.getLogger("django.channels.layer")


class ChannelLayers:
    """Maps aliases to layers; `alias in channel_layers` looks at the settings."""

    def __init__(self) -> None:
        self._made: dict[str, ChannelLayer] = {}
        self._lock = threading.RLock()
        self._make_reliable: Callable[[LayerConfig], ReliablePublisher] | None = None

    def config(self, alias: str) -> LayerConfig:
        """Return the validated settings of an alias without making its layer.

        Raises:
            KeyError: CHANNEL_LAYERS has no such alias.
            InvalidChannelLayerError: its entry is wrong.
        """
        return layer_config(alias, self._entry(alias))

    def test_config(self, alias: str) -> LayerConfig:
        """Return the validated settings of an alias with its TEST_CONFIG in the place of CONFIG (items 42 and 44).

        Raises:
            KeyError: CHANNEL_LAYERS has no such alias.
            InvalidChannelLayerError: its entry is wrong, or has no TEST_CONFIG.
        """
        self.config(alias)
        if not self.has_test_config(alias):
            raise InvalidChannelLayerError(
                alias, "TEST_CONFIG", "there is none: write a dict as CONFIG is one, with hosts that tests may use"
            )
        entry = self._entry(alias)
        try:
            return layer_config(alias, {**entry, "CONFIG": entry["TEST_CONFIG"]})
        except InvalidChannelLayerError as error:
            raise InvalidChannelLayerError(alias, f"TEST_{error.key}", error.mend) from error

    def has_test_config(self, alias: str) -> bool:
        """Tell whether an alias has a TEST_CONFIG."""
        entry = self._entry(alias)
        return isinstance(entry, Mapping) and entry.get("TEST_CONFIG") is not None

    def _entry(self, alias: str) -> Any:
        entries = getattr(settings, "CHANNEL_LAYERS", {})
        if alias not in entries:
            raise KeyError(f"CHANNEL_LAYERS has no {alias!r}; it has {', '.join(sorted(entries)) or 'nothing'}")
        return entries[alias]

    def __getitem__(self, alias: str) -> ChannelLayer:
        try:
            return self._made[alias]
        except KeyError:
            with self._lock:
                if alias not in self._made:
                    self._made[alias] = self.make(self.config(alias))
                return self._made[alias]

    def send_reliably_by(self, make: Callable[[LayerConfig], ReliablePublisher]) -> None:
        """Say how the half of a layer is made that sends to reliable channels; the application does so.

        Args:
            make: makes it from the layer's settings; it is called when a layer first needs it.
        """
        self._make_reliable = make

    def make(self, config: LayerConfig) -> ChannelLayer:
        """Make a layer from its settings."""
        layer = self._make(config)
        layer.make_reliable = self._make_reliable
        return layer

    def _make(self, config: LayerConfig) -> ChannelLayer:
        # the two halves' libraries are imported only where they are used
        if config.kind == "memory":
            from channelcelery.layers.memory import InMemoryChannelLayer

            return InMemoryChannelLayer(config)
        if config.kind == "redis":
            from channelcelery.layers.redis import RedisChannelLayer

            return RedisChannelLayer(config)
        raise InvalidChannelLayerError(config.alias, "BACKEND", f"no layer of kind {config.kind!r}")

    def make_backend(self, alias: str) -> ChannelLayer:
        """Make another layer of an alias; raises as `config` does (item 43)."""
        return self.make(self.config(alias))

    def make_test_backend(self, alias: str) -> ChannelLayer:
        """Make a layer of an alias's TEST_CONFIG; raises as `test_config` does (item 43)."""
        return self.make(self.test_config(alias))

    def close(self) -> None:
        """End the connections of every layer, in good order, so that what was just sent arrives."""
        for layer in list(self._made.values()):
            try:
                layer.close()
            except ChannelCeleryError as error:  # the others are to be closed all the same
                logger.warning("%s was not closed in good order: %s", layer, error)

    def set(self, alias: str, layer: ChannelLayer | None) -> ChannelLayer | None:
        """Put another layer in an alias's place and return the old one, or None (item 43)."""
        with self._lock:
            old = self._made.pop(alias, None)
            if layer is not None:
                self._made[alias] = layer
            return old

    def __contains__(self, alias: object) -> bool:
        return alias in getattr(settings, "CHANNEL_LAYERS", {})

    def __iter__(self) -> Iterator[str]:
        return iter(getattr(settings, "CHANNEL_LAYERS", {}))


channel_layers = ChannelLayers()
# a broker may drop what was written just before a socket is merely closed, as the end of a process would
atexit.register(channel_layers.close)
