"""The pieces of long HTTP bodies on Redis, each beside the inbox of the interface process that its request is of."""

import logging
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.delivery import host_of
from channelcelery.core.names import ReplyAddress
from channelcelery.core.sealing import MARK
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers.pieces import GONE, MAX_PIECES
from channelcelery.layers.redis_clients import async_client, reaching_redis, script, sync_client
from channelcelery.layers.redis_scripts import Scripts
from channelcelery.layers.seals import seal_of

__all__ = ["RedisInterfacePieces", "RedisWorkerPieces"]

logger = logging.getLogger("django.channels.layer")

#: Seconds of one blocking call at most: well below the time limit of the connection that it is made on.
_SLICE = 1.0


class RedisWorkerPieces:
    """A `WorkerPieces` on one Redis or several; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._config = config
        self._seal = seal_of(config)
        self._clients = [sync_client(config, url) for url in config.hosts]
        self._scripts = [Scripts(client) for client in self._clients]

    def take_body(self, address: ReplyAddress, timeout: float) -> bytes | None:
        """Wait for the next piece of a request's body, for a second at most; see `WorkerPieces.take_body`."""
        piece = self._take(address.node, f"body:{address.token}", timeout)
        try:
            return None if piece is None else self._seal.open(piece, f"body {address.token}")
        except InvalidEnvelope as error:
            logger.error("a piece of a request's body cannot be opened: %s", error)
            return MARK  # which is no message, so that the request is given up

    def put_body(self, address: ReplyAddress, content: bytes) -> bool:
        """Put a piece where the reader of a body takes it; see `WorkerPieces.put_body`."""
        sealed = self._seal.close(content, f"body {address.token}")
        return bool(self._run(address.node, "put_body", address.token, sealed, MAX_PIECES, _expiry(self._config)))

    def take_credits(self, address: ReplyAddress, timeout: float) -> int:
        """Wait for leave to send more pieces, for a second at most; see `WorkerPieces.take_credits`."""
        credits = int(self._take(address.node, f"window:{address.token}", timeout) or 0)
        if credits == GONE:  # it stays so
            self._run(address.node, "grant", address.token, GONE, GONE, _expiry(self._config))
        return credits

    def alive(self, node: str) -> bool:
        """Tell whether an interface process gave a sign of life in time."""
        with reaching_redis():
            return bool(self._clients[self._host_of(node)].exists(f"{self._config.prefix}node:{node}"))

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
        for client in self._clients:
            client.close()

    def _take(self, node: str, key: str, timeout: float) -> bytes | None:
        client: Any = self._clients[self._host_of(node)]
        name = self._config.prefix + key
        with reaching_redis():
            taken = client.lpop(name)
            # a blocking call without a time limit would wait for ever
            if taken is None and timeout > 0:
                found = client.blpop([name], min(timeout, _SLICE))
                taken = None if found is None else found[1]
        return None if taken is None else bytes(taken)

    def _run(self, node: str, name: str, *arguments: Any) -> Any:
        return self._scripts[self._host_of(node)].run(name, self._config.prefix, *arguments)

    def _host_of(self, node: str) -> int:
        return host_of(node, len(self._clients))


class RedisInterfacePieces:
    """An `InterfacePieces` on Redis, for one event loop.

    Args:
        config: the layer's settings.
        node: the interface process's name.
    """

    def __init__(self, config: LayerConfig, node: str) -> None:
        self._config = config
        self._seal = seal_of(config)
        self._client = async_client(config, config.hosts[host_of(node, len(config.hosts))])
        self._scripts: dict[str, Any] = {}

    async def put_body(self, token: str, content: bytes) -> bool:
        """Put the next piece of a request's body; see `InterfacePieces.put_body`."""
        sealed = self._seal.close(content, f"body {token}")
        return bool(await self._run("put_body", token, sealed, MAX_PIECES, _expiry(self._config)))

    async def grant(self, token: str, credits: int) -> None:
        """Let the worker send more pieces; see `InterfacePieces.grant`."""
        await self._run("grant", token, credits, GONE, _expiry(self._config))

    async def drop_pieces(self, token: str) -> None:
        """Delete what waits of a request's body; see `InterfacePieces.drop_pieces`."""
        with reaching_redis():
            await self._client.unlink(f"{self._config.prefix}body:{token}")

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def _run(self, name: str, *arguments: Any) -> Any:
        with reaching_redis():
            if name not in self._scripts:
                self._scripts[name] = self._client.register_script(script(name))
            return await self._scripts[name](args=(self._config.prefix, *arguments))


def _expiry(config: LayerConfig) -> int:
    return max(1, int(config.expiry * 1000))
