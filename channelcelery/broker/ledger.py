"""The record of messages that were taken and not yet acknowledged, in Redis, under Kombu's own keys.

Kombu's Redis transport writes the same hash and the same sorted set, so workers with either can share queues and give
back each other's messages. The leases are ours: a message that a worker of ours took lasts for as long as it renews.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

__all__ = ["DELAY", "DELIVERY_COUNT", "Entry", "Ledger", "script"]

logger = logging.getLogger("django.channels.broker")

#: Header of a message that is delivered again: how often it was given back. RabbitMQ's quorum queues use the same one.
DELIVERY_COUNT = "x-delivery-count"
#: Header of a message that is to wait for so many milliseconds before it may be taken.
DELAY = "channelcelery_delay"
#: Waiting messages that are moved into their queues in one go.
_DUE = 500
#: Entries that one search for dead workers' messages gives back at most.
_SWEPT = 100
#: Tags that one call carries at most.
_CHUNK = 1_000
#: Seconds for which a process that gives messages back keeps the others from them.
_CLAIM = 10

#: A tag and what is recorded under it.
Entry = tuple[str, bytes]


@cache
def script(name: str) -> str:
    """Return the text of a Lua script of the broker.

    Args:
        name: its file's name without the suffix.
    """
    return files("channelcelery.broker").joinpath("scripts", f"{name}.lua").read_text("utf-8")


class Ledger:
    """The record as one Kombu channel uses it; safe to share between threads, and usable when the channel is closed.

    Args:
        pool: the channel's connections.
        keys: full names of Kombu's `unacked` and `unacked_index`.
        lease: seconds.
        lists: tells the lists and bells (full names, in pairs) that a message given back goes to, from the message and
            the exchange and routing key that are recorded with it; none if that cannot be told.
    """

    def __init__(
        self,
        pool: redis.ConnectionPool,
        keys: tuple[str, str],
        lease: float,
        lists: Callable[[dict[str, Any], str, str], Sequence[tuple[str, str]]],
    ) -> None:
        client = redis.Redis(connection_pool=pool)
        self.unacked, self.index = keys
        self.leases = f"{self.unacked}_leases"
        self._unreadable = f"{self.unacked}_unreadable"
        self.lease = lease
        self._lists = lists
        self._client = client
        self._settle = client.register_script(script("settle"))
        self._renew = client.register_script(script("renew"))
        self._claim = client.register_script(script("claim"))
        self._give_back = client.register_script(script("give_back"))
        self._waiting = f"{self.unacked}_waiting"
        self._wait = client.register_script(script("wait"))
        self._due = client.register_script(script("due"))

    @property
    def keys(self) -> list[str]:
        """The three keys of the record, in the order in which scripts want them."""
        return [self.unacked, self.index, self.leases]

    def close(self) -> None:
        """Close the channel's connections; the next call opens one."""
        self._client.connection_pool.disconnect()

    def settle(self, tags: Sequence[str]) -> None:
        """Forget messages that were acknowledged."""
        for chunk in _chunks(tags):
            self._settle(keys=self.keys, args=chunk)

    def renew(self, tags: Sequence[str]) -> None:
        """Renew the leases of messages whose consumers run or wait in this process."""
        for chunk in _chunks(tags):
            self._renew(keys=[self.index, self.leases], args=[self.lease, *chunk])

    def give_back(self, tags: Sequence[str], *, last: bool = False) -> None:
        """Put messages of one's own back into their queues, in the order of their taking.

        Args:
            tags: the messages.
            last: whether others go first, so that one that fails at once does not spin.
        """
        for chunk in _chunks(tags[::-1]):
            values: Any = self._client.hmget(self.unacked, chunk)
            self._put_back([(tag, value) for tag, value in zip(chunk, values, strict=True) if value], "", last=last)

    def set_aside(self, tag: str, payload: bytes) -> None:
        """Move what is no message out of the way of those that are; it stays in a list of its own."""
        logger.error("an entry of a queue cannot be read and is moved to the list %s", self._unreadable)
        with self._client.pipeline() as pipe:
            pipe.lpush(self._unreadable, payload)
            pipe.hdel(self.unacked, tag)
            pipe.zrem(self.index, tag)
            pipe.zrem(self.leases, tag)
            pipe.execute()

    def wait(self, milliseconds: int, target: str, bell: str, message: str) -> None:
        """Let a message wait before it goes into its queue's list.

        Args:
            milliseconds: for how long, at least.
            target: the list's full name.
            bell: the full name of its queue's bell.
            message: as it is to lie in the list.
        """
        self._wait(keys=[self._waiting], args=[milliseconds, dumps([target, bell, message])])

    def release_due(self) -> int:
        """Move messages into their queues that waited for long enough, and return how many."""
        return int(self._due(keys=[self._waiting], args=[_DUE]))

    def sweep(self, interval: float, visibility_timeout: float) -> int:
        """Put back messages of dead workers, unless it is too soon; see `claim.lua`.

        Args:
            interval: seconds between two searches of all processes together.
            visibility_timeout: seconds after which messages of workers with Kombu's own transport are put back.

        Returns:
            How many.
        """
        args = [interval, _CLAIM, _SWEPT, visibility_timeout, self.lease]
        claim, *found = self._claim(keys=[*self.keys, f"{self.unacked}_sweep"], args=args) or [b""]
        entries = list(zip(map(bytes_to_str, found[::2]), found[1::2], strict=True))[::-1]
        if not entries:
            return 0
        given = self._put_back(entries, bytes_to_str(claim), last=False)
        logger.warning("%d messages of workers that died were put back into their queues", given)
        return given

    def _put_back(self, entries: Iterable[Entry], claim: str, *, last: bool) -> int:
        lists: dict[tuple[str, str], int] = {}
        args: list[Any] = []
        for tag, entry in entries:
            try:
                message, exchange, routing_key = loads(bytes_to_str(entry))
                _count(message)
            except (ValueError, LookupError, TypeError, AttributeError):
                self.set_aside(tag, entry)
                continue
            targets = self._lists(message, exchange, routing_key)
            if not targets:
                logger.error("a message for %.200r belongs to no queue that is known here; left as it is", routing_key)
                continue
            numbers = [lists.setdefault(target, len(lists) + 1) for target in targets]
            args += [tag, dumps(message), len(numbers), *numbers]
        if not args:
            return 0
        keys = [*self.keys, *(key for pair in lists for key in pair)]
        return int(self._give_back(keys=keys, args=[claim, "L" if last else "R", *args]))


def _count(message: dict[str, Any]) -> None:
    """Write into a message that it was delivered before, as Kombu does, and how often."""
    headers, properties = message["headers"], message["properties"]
    # one that Kombu gave back says only that it was
    before = headers.get(DELIVERY_COUNT) or int(bool(headers.get("redelivered")))
    headers[DELIVERY_COUNT] = int(before) + 1
    headers["redelivered"] = True
    properties.setdefault("delivery_info", {})["redelivered"] = True


def _chunks(tags: Sequence[str]) -> list[Sequence[str]]:
    return [tags[start : start + _CHUNK] for start in range(0, len(tags), _CHUNK)]
