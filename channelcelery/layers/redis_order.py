"""The order of messages on Redis: each connection on the host of its interface process, by that host's clock."""

import logging
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from channelcelery.conf import LayerConfig
from channelcelery.core.delivery import host_of
from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import (
    AGAIN,
    CLOSED_EXPIRY,
    EXPIRY,
    MAX_PARKED,
    MAX_PARKED_BYTES,
    OVER_EXPIRY,
    PATIENCE,
    Arrival,
    Entered,
    Left,
    Parked,
    Swept,
    Verdict,
)
from channelcelery.exceptions import InvalidEnvelope, LayerUnavailable
from channelcelery.layers.redis_clients import reaching_redis, sync_client
from channelcelery.layers.redis_scripts import Scripts
from channelcelery.layers.seals import seal_of

__all__ = ["RedisOrderStore"]

logger = logging.getLogger("django.channels.layer")


class RedisOrderStore:
    """An `OrderStore` on one Redis or several; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings.
    """

    def __init__(self, config: LayerConfig) -> None:
        self._clients = [sync_client(config, url) for url in config.hosts]
        self._scripts = [Scripts(client) for client in self._clients]
        self._prefix = config.prefix
        self._seal = seal_of(config)
        stall = config.order_stall * 1000
        times = (int(stall * PATIENCE), int(stall * AGAIN), MAX_PARKED, MAX_PARKED_BYTES)
        kept = (EXPIRY * 1000, OVER_EXPIRY * 1000, CLOSED_EXPIRY * 1000)
        self._first = (config.prefix, *times, *kept)

    def _run(self, host: int, *arguments: Any) -> Any:
        return self._scripts[host].run("order", *self._first, *arguments)

    def _host(self, address: ReplyAddress) -> int:
        return host_of(address.node, len(self._clients))

    def enter(self, address: ReplyAddress, arrival: Arrival, room: int = 0, channels: Collection[str] = ()) -> Entered:
        """Decide what becomes of a message that came; see `OrderStore.enter`."""
        item = self._seal.close(arrival.item, _place(arrival.channel))
        message = (arrival.number, arrival.channel, item, int(arrival.slight))
        verdict, *rest = self._run(self._host(address), "enter", address.token, *_takes(room, channels), *message)
        return Entered(Verdict(verdict.decode()), next(self._parked(rest), None))

    def leave(
        self,
        address: ReplyAddress,
        number: int,
        room: int = 0,
        channels: Collection[str] = (),
        again: Parked | None = None,
    ) -> Left:
        """Take note that a message has ended; see `OrderStore.leave`."""
        once_more: tuple[str, ...] | tuple[str, bytes] = ()
        if again is not None:
            once_more = (again.channel, self._seal.close(again.item, _place(again.channel)))
        taken, *rest = self._run(
            self._host(address), "leave", address.token, *_takes(room, channels), number, *once_more
        )
        parked = tuple(self._parked(rest))
        return Left(parked[0]) if taken else Left(handed=parked)

    def _parked(self, answer: Sequence[bytes]) -> Iterator[Parked]:
        for number, value in zip(answer[::2], answer[1::2], strict=True):
            name, _, sealed = value.partition(b" ")
            channel = name.decode("ascii")
            try:
                item = self._seal.open(sealed, _place(channel))
            except InvalidEnvelope as error:
                logger.error("a message of %.120s that waited for its turn is dropped: %s", channel, error)
                item = b""  # which nobody can read; its turn passes
            yield Parked(int(number), channel, item)

    def renew(self, running: Collection[tuple[ReplyAddress, int]]) -> None:
        """Give a sign of life of consumers that run."""
        by_host: dict[int, list[Any]] = {}
        for address, number in running:
            by_host.setdefault(self._host(address), []).extend((address.token, number))
        for host, arguments in by_host.items():
            self._run(host, "renew", *arguments)

    def sweep(self, limit: int) -> Swept:
        """Let connections that waited for too long go on; see `OrderStore.sweep`."""
        handed: list[Parked] = []
        unfinished = missing = 0
        failure = None
        for host in range(len(self._clients)):
            try:
                lapsed, never, *rest = self._run(host, "sweep", limit)
            except LayerUnavailable as error:
                # the other hosts' connections are not to suffer from it
                failure = error
                continue
            handed += self._parked(rest)
            unfinished += lapsed
            missing += never
        if failure is not None and not handed:
            raise failure
        return Swept(tuple(handed), unfinished, missing)

    def flush(self) -> None:
        """Drop what waits; see `OrderStore.flush`."""
        with reaching_redis():
            for client in self._clients:
                client.delete(f"{self._prefix}ordering")
                for pattern in ("order:*", "parked:*"):
                    keys = client.scan_iter(match=self._prefix + pattern, count=1000)
                    while some := list(islice(keys, 1000)):
                        client.unlink(*some)

    def close(self) -> None:
        """End the connections; the next call opens new ones."""
        for client in self._clients:
            client.close()


def _takes(room: int, channels: Collection[str]) -> tuple[int, str]:
    return (room, f" {' '.join(channels)} ") if room else (0, "")


def _place(channel: str) -> str:
    # which connection and number it is of, the message itself says
    return f"parked {channel}"
