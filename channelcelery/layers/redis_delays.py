"""Delayed messages on Redis: a sorted set for each host, by the host's own clock."""

import logging
import secrets
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.delays import decode_delayed, encode_delayed
from channelcelery.core.delivery import host_of
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import InvalidEnvelope, LayerUnavailable
from channelcelery.layers.redis_clients import reaching_redis, sync_client
from channelcelery.layers.redis_scripts import Scripts
from channelcelery.layers.seals import seal_of

__all__ = ["RedisDelayStore"]

logger = logging.getLogger("django.channels.layer")


class RedisDelayStore:
    """A `DelayStore` on one Redis or several; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings; channels are spread over its hosts.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._prefix, self._capacity = config.prefix, config.delay_capacity
        self._seal = seal_of(config)
        self._clients = [sync_client(config, url) for url in config.hosts]
        self._scripts = [Scripts(client) for client in self._clients]

    def _run(self, host: int, name: str, *arguments: Any) -> Any:
        return self._scripts[host].run(name, self._prefix, *arguments)

    def add(self, sends: Sequence[DelayedSend]) -> bool:
        """Let messages wait; see `DelayStore.add`."""

        def host(send: DelayedSend) -> int:
            return host_of(send.channel, len(self._clients))

        taken, failure = True, None
        for number, group in groupby(sorted(sends, key=host), key=host):
            pairs = [part for send in group for part in (send.delay, self._sealed(send))]
            try:
                taken = bool(self._run(number, "delay", self._capacity, *pairs)) and taken
            except LayerUnavailable as error:  # the other hosts may take theirs
                failure = error
        if failure is not None:
            raise failure
        return taken

    def _sealed(self, send: DelayedSend) -> bytes:
        return self._seal.close(encode_delayed(send, secrets.token_bytes(8)), "delayed")

    def take_due(self, limit: int) -> list[DelayedSend]:
        """Take what is due; see `DelayStore.take_due`. What cannot be read is logged and dropped."""
        due: list[DelayedSend] = []
        failure: LayerUnavailable | None = None
        for number in range(len(self._clients)):
            try:
                taken = self._run(number, "due", limit)
            except LayerUnavailable as error:  # what another host gave is nowhere else
                failure = error
                continue
            for packed in taken:
                try:
                    due.append(decode_delayed(self._seal.open(packed, "delayed")))
                except InvalidEnvelope as error:
                    logger.error("a delayed message cannot be read and is dropped: %s", error)
        if failure is not None and not due:
            raise failure
        return due

    def flush(self) -> None:
        """Drop what waits; see `DelayStore.flush`."""
        with reaching_redis():
            for client in self._clients:
                client.delete(f"{self._prefix}delayed")

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
        for client in self._clients:
            client.close()
