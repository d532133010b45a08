"""How often messages of reliable channels ran, on Redis: written only for messages that were delivered before."""

from channelcelery.conf import LayerConfig
from channelcelery.core.delivery import host_of
from channelcelery.layers.redis_clients import reaching_redis, sync_client
from channelcelery.layers.redis_scripts import Scripts

__all__ = ["RedisAttemptStore"]

#: Seconds for which a count is kept after the last run: longer than a message may wait for its next one.
_EXPIRY = 30 * 24 * 3600


class RedisAttemptStore:
    """An `AttemptStore` on one Redis or several.

    Args:
        config: the layer's settings; messages are spread over its hosts.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._prefix = config.prefix
        self._clients = [sync_client(config, url) for url in config.hosts]
        self._scripts = [Scripts(client) for client in self._clients]

    def count(self, message_id: str, written: int) -> int:
        """Count a run; see `AttemptStore.count`."""
        scripts = self._scripts[self._host(message_id)]
        return int(scripts.run("attempt", self._prefix, message_id, written, _EXPIRY))

    def forget(self, message_id: str) -> None:
        """Begin anew; see `AttemptStore.forget`."""
        with reaching_redis():
            self._clients[self._host(message_id)].delete(f"{self._prefix}attempts:{message_id}")

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
        for client in self._clients:
            client.close()

    def _host(self, message_id: str) -> int:
        return host_of(message_id, len(self._clients))
