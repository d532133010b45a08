"""Sessions in the Redis of a channel layer: SESSION_ENGINE or CHANNEL_SESSION_ENGINE = "channelcelery.redis_sessions".

A socket's session is read with every message, which is where a database is slow. Redis forgets expired sessions by
itself, so that `clearsessions` has nothing to do. Keys: `<prefix>session:<session key>`, text with a time to live.
"""

import logging
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.core.delivery import host_of
from channelcelery.core.sealing import Seal
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers import channel_layers
from channelcelery.layers.redis_clients import reaching_redis, sync_client
from channelcelery.layers.seals import seal_of

__all__ = ["SessionStore"]

logger = logging.getLogger("django.channels.layer")


class SessionStore(SessionBase):
    """A session; see Django's SessionBase. The layer is that of the alias CHANNELS_SESSION_LAYER, or the default one.

    Every method raises LayerUnavailable where Redis does not answer.
    """

    def load(self) -> dict[str, Any]:
        data = None if self.session_key is None else self._execute("GET", self.session_key)
        if data is None:
            self._session_key = None
            return {}
        try:
            opened = _layer()[2].open(data, _place(self.session_key))
        except InvalidEnvelope as error:
            logger.warning("a session cannot be read and counts as none: %s", error)
            self._session_key = None
            return {}
        loaded: dict[str, Any] = self.decode(opened.decode("utf-8"))
        return loaded

    def exists(self, session_key: str) -> bool:
        return bool(self._execute("EXISTS", session_key))

    def create(self) -> None:
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        """Write the session.

        Args:
            must_create: it must not be there yet.

        Raises:
            CreateError: it is there, and must not.
            UpdateError: it is not there, so that its user logged out meanwhile.
        """
        if self.session_key is None:
            self.create()
            return
        encoded = self.encode(self._get_session(no_load=must_create))  # type: ignore[attr-defined]
        data = _layer()[2].close(encoded.encode(), _place(self.session_key))
        seconds = self.get_expiry_age()
        if seconds <= 0:
            self.delete()
        elif not self._execute("SET", self.session_key, data, "EX", int(seconds), "NX" if must_create else "XX"):
            raise CreateError if must_create else UpdateError

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            self._execute("DEL", key)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: Redis has done it."""

    def _execute(self, command: str, key: str, *arguments: Any) -> Any:
        prefix, clients, _ = _layer()
        # what a client gave as its key may hold anything
        client = clients[host_of(ascii(key), len(clients))]
        with reaching_redis():
            return client.execute_command(command, f"{prefix}session:{key}", *arguments)  # type: ignore[no-untyped-call]


def _place(session_key: str | None) -> str:
    return f"session {session_key!a}"


def _layer() -> tuple[str, list[redis.Redis], Seal]:
    return _clients(getattr(settings, "CHANNELS_SESSION_LAYER", DEFAULT_CHANNEL_LAYER))


@cache
def _clients(alias: str) -> tuple[str, list[redis.Redis], Seal]:
    config = channel_layers.config(alias)
    if config.kind != "redis":
        raise ImproperlyConfigured(
            f"channelcelery.redis_sessions needs a Redis: the channel layer {alias!r} is in memory. Set "
            "CHANNELS_SESSION_LAYER to the alias of a layer on Redis, or use another session engine"
        )
    return config.prefix, [sync_client(config, url) for url in config.hosts], seal_of(config)


def _on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "CHANNEL_LAYERS":
        _clients.cache_clear()


setting_changed.connect(_on_setting_changed, dispatch_uid="channelcelery.redis_sessions")
