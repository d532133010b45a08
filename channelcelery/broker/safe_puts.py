"""How the safe transport puts messages into their queues, and what its keys are called; see `broker.safe_redis`."""

from functools import cache
from typing import Any

from kombu.transport import redis
from kombu.utils.json import dumps
from kombu.utils.objects import cached_property

from channelcelery.broker.ledger import DELAY, DELIVERY_COUNT, Ledger, script
from channelcelery.broker.script_runner import Script, ScriptRunner
from channelcelery.exceptions import ChannelFull

__all__ = ["OPTIONS", "PuttingChannel"]

#: Kombu's own; the stubs know only a part of it
stock: Any = redis

#: Transport options beside Kombu's.
OPTIONS = ("lease", "sweep_interval", "poll_interval")


class PuttingChannel(stock.Channel):  # type: ignore[misc]
    """Kombu's channel on Redis, as far as it puts: a delayed message waits, one beyond a queue's length is refused."""

    from_transport_options = (*stock.Channel.from_transport_options, *OPTIONS)

    lease = 15.0
    sweep_interval = 1.0
    poll_interval = 0.25
    # a Redis that hangs must be an error: Kombu's default is to wait for ever
    socket_timeout = 10.0
    socket_connect_timeout = 5.0
    socket_keepalive = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._limits: dict[str, int] = {}
        super().__init__(*args, **kwargs)

    # names

    def _key(self, name: str) -> str:
        return f"{self.global_keyprefix}{name}"

    def _bell(self, queue: str) -> str:
        return self._key(f"{queue}{self.sep}bell")

    def _list(self, queue: str, priority: int) -> str:
        return self._key(self._q_for_pri(queue, priority))

    def _lists_of(self, message: dict[str, Any], exchange: str, routing_key: str) -> list[tuple[str, str]]:
        priority = self._get_message_priority(message, reverse=False)
        queues = [routing_key] if not exchange else self._lookup(exchange, routing_key)
        return [(self._list(queue, priority), self._bell(queue)) for queue in queues]

    @cached_property
    def ledger(self) -> Ledger:
        """The record of what is under way."""
        return Ledger(
            self.pool, (self._key(self.unacked_key), self._key(self.unacked_index_key)), self.lease, self._lists_of
        )

    @cached_property
    def _plain(self) -> Any:
        # scripts get full names of keys; Kombu's client for a global prefix would put it before some of them again
        return stock.redis.Redis(connection_pool=self.pool)

    @cached_property
    def _scripts(self) -> ScriptRunner:
        # all else on the channel needs connections, too, of which a project may have allowed few
        return ScriptRunner(self.pool, 1 if self.max_connections > 2 else 0)

    # putting

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        super()._new_queue(queue, **kwargs)
        arguments = kwargs.get("arguments") or {}
        if arguments.get("x-overflow") == "reject-publish" and "x-max-length" in arguments:
            self._limits[queue] = int(arguments["x-max-length"])
        else:
            self._limits.pop(queue, None)

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if kwargs.get("_publish_batch") is not None:
            super()._put(queue, message, **kwargs)
            return
        if message.get("headers"):
            # what a task sends on to its retry is a message of its own
            message["headers"].pop(DELIVERY_COUNT, None)
            if delay := message["headers"].pop(DELAY, None):
                target = self._list(queue, self._get_message_priority(message, reverse=False))
                self.ledger.wait(int(delay), target, self._bell(queue), dumps(message))
                return
        if not self._push_to(queue, message, self._limits.get(queue, 0)):
            raise ChannelFull([queue])

    def put_first(self, queue: str, message: dict[str, Any]) -> None:
        """Give back what was taken without acknowledgements, or a part of it, as the next to be taken.

        Args:
            queue: its name.
            message: the message, serialised.
        """
        self._push_to(queue, message, 0, "first")

    def _push_to(self, queue: str, message: dict[str, Any], limit: int, where: str = "last") -> bool:
        lists = [self._list(queue, step) for step in self.priority_steps]
        target = self._list(queue, self._get_message_priority(message, reverse=False))
        arguments = [dumps(message), limit, self._expires.get(queue, 0), where]
        return bool(self._scripts.run(_push(), [self._bell(queue), target, *lists], arguments))


@cache
def _push() -> Script:
    return Script(script("push"))
