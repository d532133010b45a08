"""Sealing what waits in queues and in Redis, so that whoever can read or write there can neither read nor forge it.

A sealed message is AES-256-GCM (RFC 5116) under a key of its writer's own, derived from a key of CONFIG by HKDF (RFC
5869) with a random salt, so that random nonces never run out:

    0xC1, which begins no msgpack; the version; 4 bytes that name the key; salt, 16; nonce, 12; deadline, 8; the rest

All of it is authenticated, and with it the place that the message was written for: moved elsewhere it cannot be opened,
nor after its deadline.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from channelcelery.exceptions import InvalidEnvelope

__all__ = ["MARK", "KeySeal", "NoSeal", "Seal"]

#: What a sealed message begins with, and no other.
MARK = b"\xc1"
_MARK = MARK + b"\x01"
_HEAD = struct.Struct("!2s4s16s12sQ")
_INFO = b"channelcelery message 1"
#: Messages under one salt, per process: far below the number at which random nonces could meet.
_MOST = 2**24
#: Writers whose keys are remembered.
_REMEMBERED = 1_000


class Seal(Protocol):
    """Closes and opens messages."""

    def close(self, content: bytes, place: str, deadline: int = 0) -> bytes:
        """Return a message as it waits.

        Args:
            content: the message.
            place: what it is written for, such as a queue.
            deadline: milliseconds since the epoch after which it cannot be opened, or 0.
        """

    def open(self, sealed: bytes, place: str, now: int = 0) -> bytes:
        """Return what `close` was given.

        Args:
            sealed: the message as it waited.
            place: where it was found.
            now: milliseconds since the epoch.

        Raises:
            InvalidEnvelope: it was not written by one of us, for this place, and in time.
        """


class NoSeal:
    """Leaves messages as they are; used where there are no keys."""

    def close(self, content: bytes, place: str, deadline: int = 0) -> bytes:
        """Return the message."""
        return content

    def open(self, sealed: bytes, place: str, now: int = 0) -> bytes:
        """Return the message, unless it is sealed."""
        if sealed[:1] == MARK:
            raise InvalidEnvelope("it is encrypted, and this process has no CONFIG['symmetric_encryption_keys']")
        return sealed


class KeySeal:
    """Seals with the first of several keys, and opens with any; safe to share between threads and after a fork.

    Args:
        keys: at least one, each of 32 bytes or more that cannot be guessed.
        random: returns so many random bytes (`secrets.token_bytes`).
    """

    def __init__(self, keys: Sequence[bytes], random: Callable[[int], bytes]) -> None:
        # imported here: it is an extra
        from cryptography.exceptions import InvalidTag

        self._wrong: type[Exception] = InvalidTag
        self._keys = {hashlib.sha256(b"name" + key).digest()[:4]: key for key in reversed(keys)}
        self._first = hashlib.sha256(b"name" + keys[0]).digest()[:4]
        self._random = random
        self._ciphers: dict[tuple[bytes, bytes], Any] = {}
        self._salt, self._left = random(16), _MOST

    def close(self, content: bytes, place: str, deadline: int = 0) -> bytes:
        """Encrypt and authenticate a message; see `Seal.close`."""
        self._left -= 1
        if self._left < 0:
            self._salt, self._left = self._random(16), _MOST - 1
        salt, nonce = self._salt, self._random(12)
        head = _HEAD.pack(_MARK, self._first, salt, nonce, deadline)
        encrypted: bytes = self._cipher(self._first, salt).encrypt(nonce, content, head + place.encode())
        return head + encrypted

    def open(self, sealed: bytes, place: str, now: int = 0) -> bytes:
        """Check and decrypt a message; see `Seal.open`."""
        head = sealed[: _HEAD.size]
        if len(head) < _HEAD.size or head[:2] != _MARK:
            raise InvalidEnvelope("it is not encrypted as CONFIG['symmetric_encryption_keys'] wants it")
        _, name, salt, nonce, deadline = _HEAD.unpack(head)
        if name not in self._keys:
            raise InvalidEnvelope("it is encrypted with a key that CONFIG['symmetric_encryption_keys'] has not")
        try:
            content: bytes = self._cipher(name, salt).decrypt(nonce, sealed[_HEAD.size :], head + place.encode())
        except self._wrong as error:
            raise InvalidEnvelope("it was changed, or written for another place") from error
        if 0 < deadline < now:
            raise InvalidEnvelope("it came after its deadline")
        return content

    def _cipher(self, name: bytes, salt: bytes) -> Any:
        if (known := self._ciphers.get((name, salt))) is not None:
            return known
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        if len(self._ciphers) >= _REMEMBERED:
            self._ciphers.clear()
        cipher = AESGCM(HKDF(SHA256(), 32, salt, _INFO).derive(self._keys[name]))
        self._ciphers[name, salt] = cipher
        return cipher
