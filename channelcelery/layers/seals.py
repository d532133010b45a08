"""The seal of a layer: what encrypts its messages, if CONFIG has keys."""

import secrets
from functools import lru_cache

from channelcelery.conf import LayerConfig
from channelcelery.core.sealing import KeySeal, NoSeal, Seal

__all__ = ["seal_of"]


def seal_of(config: LayerConfig) -> Seal:
    """Return what closes and opens the messages of a layer."""
    return _seal(config.symmetric_encryption_keys)


@lru_cache(maxsize=16)
def _seal(keys: tuple[bytes, ...]) -> Seal:
    return KeySeal(keys, secrets.token_bytes) if keys else NoSeal()
