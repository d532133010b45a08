"""The Kombu channel of the safe transport: how messages are taken and given back; see `broker.safe_redis`."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from queue import Empty
from threading import get_ident
from time import monotonic
from typing import Any

from kombu.log import get_logger
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from kombu.utils.objects import cached_property
from kombu.utils.scheduling import priority_cycle
from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from channelcelery.broker.leases import keep
from channelcelery.broker.ledger import script
from channelcelery.broker.pops import BYTES, MOST, Pop, hang_up
from channelcelery.broker.safe_puts import PuttingChannel
from channelcelery.broker.safe_qos import SafeQoS

__all__ = ["SafeChannel"]

logger = get_logger("django.channels.broker")


class SafeChannel(PuttingChannel):
    """Kombu's channel on Redis, safe."""

    QoS = SafeQoS
    # Kombu's own
    _qos: Any = None
    _in_poll: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tag_prefix = f"{secrets.token_hex(8)}."
        self._sequence = count()
        self._no_ack: set[str] = set()
        self._look = True
        self._known = False
        self._thread = 0
        self._pid = os.getpid()
        #: says how many messages one step may take of a queue that is read without acknowledgements
        self.most: Callable[[str], int] = _one
        self._delivering = False
        #: the pop that is under way, if one is
        self.popping: Pop | None = None
        #: the pop's acknowledgements, which Redis has not confirmed yet
        self._settling: list[str] = []
        #: whether the connection broke since the last answer
        self.broken = False
        super().__init__(*args, **kwargs)

    # taking

    @cached_property
    def _take(self) -> Any:
        return self._plain.register_script(script("pop"))

    def is_registered(self, delivery_tag: str) -> bool:
        """Tell whether a message was registered in Redis when this channel took it."""
        return delivery_tag.startswith(self._tag_prefix)

    def settles_soon(self) -> bool:
        """Tell whether what is acknowledged now goes to Redis with the next pop, or at the end of a turn."""
        return bool(
            not self.closed
            and self.connection.in_loop
            and self._thread == get_ident()
            and not self._delivering
            and not self._waits
            and self._active_queues
        )

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        (self._no_ack.add if no_ack else self._no_ack.discard)(queue)
        self._look = True
        if not no_ack:
            keep(self.qos)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _basic_cancel(self, consumer_tag: str) -> Any:
        result = super()._basic_cancel(consumer_tag)
        self._finish_pop()
        return result

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        keys, arguments = self._words_of(Pop([queue], 1, self._tags(), {queue: 1} if no_ack else {}), ())
        for _, payload in self._decoded([queue], self._take(keys=keys, args=arguments)):
            message = self.Message(payload, channel=self)
            if not no_ack:
                self.qos.append(message, message.delivery_tag)
            return message
        return None

    @property
    def _waits(self) -> bool:
        """Whether the pop that is under way waits for a bell."""
        return self.popping is not None and self.popping.waits

    def _words_of(self, pop: Pop, settled: Sequence[str]) -> tuple[list[str], list[Any]]:
        lists = [self._list(queue, step) for step in self.priority_steps for queue in pop.queues]
        keys = [*self.ledger.keys, *map(self._bell, pop.queues), *lists]
        in_turn = int(not isinstance(self._queue_cycle, priority_cycle))
        names = [str(pop.most[queue]) if queue in pop.most else dumps(queue) for queue in pop.queues]
        return keys, [pop.room, self.lease, in_turn, pop.tags, len(pop.queues), BYTES, *names, *settled]

    def _tags(self) -> str:
        """Return what the tags of one pop, and of no other, begin with."""
        return f"{self._tag_prefix}{next(self._sequence)}."

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = list(self._queue_cycle.consume(len(self.active_queues)))
        if not queues:
            return
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at, self._thread = connection, monotonic(), get_ident()
        most = {queue: self.most(queue) for queue in queues if queue in self._no_ack}
        self.popping = pop = Pop(queues, self._room(most), self._tags(), most, waits=not self._look)
        self._look = False
        self.qos.coming = pop.tags, pop.room
        if not pop.waits:  # or they would wait, too
            self._settling += self.qos.take_pending()
        keys, arguments = self._words_of(pop, self._settling)
        take = ("EVALSHA", self._take.sha) if self._known else ("EVAL", script("pop"))
        commands = [(*take, len(keys), *keys, *arguments)]
        if pop.waits:  # behind which Redis keeps the pop back: one way there and back for both
            commands.insert(0, ("BRPOP", *map(self._bell, queues), self.poll_interval))
        connection.send_packed_command(connection.pack_commands(commands))

    def _room(self, most: Mapping[str, int]) -> int:
        # without acknowledgements nothing else tells how much is under way
        if most:
            return max(most.values())
        room = self.qos.can_consume_max_estimate()
        return MOST if room is None else max(1, min(room, MOST))

    def _brpop_read(self, **options: Any) -> bool:
        pop, self.popping = self.popping, None
        if pop is None:  # its connection ended
            raise Empty
        try:
            if pop.waits:
                self._answer("BRPOP", **options)
            answer = self._answer("EVALSHA", **options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        self._settling.clear()
        self._look |= pop.leaves_some(answer)
        self._deliver_all(list(self._decoded(pop.queues, answer)))
        if not answer:
            raise Empty
        return True

    def _answer(self, command: str, **options: Any) -> Any:
        connection = self.client.connection
        try:
            # redis-py's own: Kombu's client changes answers where keys have a prefix
            read: Any = Redis.parse_response
            answer = read(self.client, connection, command, **options)
        except NoScriptError:
            self._known = False
            self._look = True
            raise Empty from None
        except (ResponseError, *self.connection_errors) as error:
            # after a bell's the pop's answer would come, too
            if command == "BRPOP" or not isinstance(error, ResponseError):
                connection.disconnect()
            raise
        self.broken = False
        self._known = self._known or command == "EVALSHA"
        return answer

    def _decoded(self, queues: Sequence[str], answer: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        for number, tag, payload in zip(answer[::3], map(bytes_to_str, answer[1::3]), answer[2::3], strict=True):
            queue = queues[number - 1]
            try:
                message = loads(bytes_to_str(payload))
                if tag:
                    message["properties"]["delivery_tag"] = tag
            except (ValueError, LookupError, TypeError):
                if not tag:  # taken for good: as with Kombu's transport
                    raise
                self.ledger.set_aside(tag, payload)
            else:
                yield queue, message

    def _deliver_all(self, messages: list[tuple[str, dict[str, Any]]]) -> None:
        left, connection = messages[::-1], self.connection  # which a callback may close
        self._delivering = True  # the pool `solo` runs each within its delivery
        try:
            while left:
                queue, message = left.pop()
                self._queue_cycle.rotate(queue)
                if queue in connection._callbacks:
                    connection._deliver(message, queue)
                else:  # cancelled meanwhile
                    left.append((queue, message))
                    self._return([left.pop()])
        finally:
            self._delivering = False
            self._return(left[::-1])
            self.qos.coming = "", 0

    def _return(self, messages: list[tuple[str, dict[str, Any]]]) -> None:
        tags = [message["properties"]["delivery_tag"] for _, message in messages]
        self.ledger.give_back([tag for tag in tags if self.is_registered(tag)])
        for tag, (queue, message) in zip(tags, messages, strict=True):
            if not self.is_registered(tag):
                priority = self._get_message_priority(message, reverse=False)
                self._plain.rpush(self._list(queue, priority), dumps(message))

    def end_turn(self) -> None:
        """Tell Redis what was acknowledged, unless a pop has just done so or will soon."""
        told = self.popping is not None and not self.popping.waits
        if self._qos is not None and self._qos.pending and not (told or self._qos.waits_for_room):
            self._qos.flush()

    # ending

    @property
    def ends(self) -> bool:
        """Whether the channel is closed, or about to be."""
        return bool(self._closing or self.closed)

    def break_off(self) -> None:
        """Count as broken, since another connection did and all are dropped with it."""
        # an answer that is on its way would say that all is well; in a fork it is the parent's
        try:
            if self.popping and self._pid == os.getpid():
                self._finish_pop()
        except Exception as error:  # such as that of a server which is a replica now: others are to hear of it, too
            logger.debug("an answer of Redis could not be read: %r", error)
        finally:
            self.broken = True

    def _finish_pop(self) -> None:
        """Read what is on its way to nobody, so that it goes back into its queue at once."""
        if self._in_poll:
            connection, waits, broken = self._in_poll, self._waits, self.broken
            if waits:
                hang_up(connection)
            with suppress(Empty, *self.connection_errors):
                self._brpop_read()
            if waits:
                connection.disconnect()
                self.broken = broken
        if self._qos is not None:
            self._qos.pending.extend(self._settling)
            self._settling.clear()
            self._qos.flush()

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            self.popping, self._look = None, True
        self.broken = self.broken or not self._closing
        super()._on_connection_disconnect(connection)

    def close(self) -> None:
        if self._pid != os.getpid():  # what is under way is the parent's
            self._qos, self._in_poll = None, None
        elif not self.closed and self.connection is not None:
            self._finish_pop()
            self._closing = True
        try:
            super().close()
        finally:
            if self._qos is not None:
                self._qos.end()


def _one(queue: str) -> int:
    return 1
