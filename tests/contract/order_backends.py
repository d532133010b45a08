"""The two stores of order behind one face, with what a test may do to them beside using them."""

import time
from typing import Any

import redis

from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import Arrival, Parked
from channelcelery.layers.memory_order import MemoryOrderStore
from channelcelery.layers.order import OrderStore
from channelcelery.layers.redis_order import RedisOrderStore
from tests.contract.reply_backends import PREFIX, config_of

__all__ = ["STALL", "Memory", "OnRedis", "Twin", "address"]

#: long enough that only a test makes a connection wait for too long
STALL = 3_600.0


def address(token: str) -> ReplyAddress:
    return ReplyAddress("node", token)


class Twin:
    """One store led through a history."""

    store: OrderStore

    def wait(self, token: str) -> None:
        """Let a connection have waited for too long, if it waits."""
        raise NotImplementedError

    def expire(self, token: str) -> None:
        """Let the state of a connection have been kept for long enough."""
        raise NotImplementedError

    def close(self, token: str) -> None:
        """Let a connection close."""
        raise NotImplementedError

    def looked_at(self) -> set[str]:
        """Return the connections that wait for something."""
        raise NotImplementedError

    def patience(self, token: str) -> float:
        """Return the seconds after which a connection counts as waiting for too long."""
        raise NotImplementedError

    def step(self, step: tuple[Any, ...]) -> Any:
        """Take a step and return what can be seen of it."""
        match step:
            case ("enter", token, number, room, channels, channel, slight):
                arrival = Arrival(number, channel, b"item %d" % number, slight)
                return self.store.enter(address(token), arrival, room, channels)
            case ("leave", token, number, room, channels, once_more):
                again = Parked(number, "websocket.receive", b"again") if once_more else None
                return self.store.leave(address(token), number, room, channels, again)
            case ("renew", token, number):
                return self.store.renew([(address(token), number)])
            case ("sweep", limit):
                swept = self.store.sweep(limit)
                return sorted(swept.handed, key=repr), swept.unfinished, swept.missing
            case (name, token):
                return getattr(self, name)(token)


class Memory(Twin):
    def __init__(self) -> None:
        self.store: MemoryOrderStore = MemoryOrderStore(STALL)

    def wait(self, token: str) -> None:
        order = self.store.state.orders.get(token)
        if order is not None and order.look is not None:
            order.look = {"t": -2.0, "u": -1.0}[token]

    def expire(self, token: str) -> None:
        self.store.state.orders.pop(token, None)

    def close(self, token: str) -> None:
        self.store.forget([token])

    def looked_at(self) -> set[str]:
        return {token for token, order in self.store.state.orders.items() if order.look is not None}

    def patience(self, token: str) -> float:
        look = self.store.state.orders[token].look
        assert look is not None, "it waits for nothing"
        return look - time.monotonic()


class OnRedis(Twin):
    def __init__(self, url: str) -> None:
        self.store = RedisOrderStore(config_of("redis", hosts=[url], order_stall=STALL))
        self.client: Any = redis.Redis.from_url(url)
        self.client.flushdb()

    def wait(self, token: str) -> None:
        if self.client.zscore(f"{PREFIX}ordering", token) is not None:
            self.client.zadd(f"{PREFIX}ordering", {token: {"t": 1, "u": 2}[token]})

    def expire(self, token: str) -> None:
        self.client.delete(f"{PREFIX}order:{token}", f"{PREFIX}parked:{token}")
        self.client.zrem(f"{PREFIX}ordering", token)

    def close(self, token: str) -> None:
        for key in ("order", "parked"):
            if self.client.pttl(f"{PREFIX}{key}:{token}") > 120_000:
                self.client.pexpire(f"{PREFIX}{key}:{token}", 120_000)

    def looked_at(self) -> set[str]:
        return {token.decode() for token in self.client.zrange(f"{PREFIX}ordering", 0, -1)}

    def patience(self, token: str) -> float:
        seconds, microseconds = self.client.time()
        return float(self.client.zscore(f"{PREFIX}ordering", token)) / 1000 - seconds - microseconds / 1_000_000

    def end(self) -> None:
        self.client.close()
        self.store.close()
