"""The Kombu channel of the safe transport: how messages are taken and given back; see `broker.safe_redis`."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from queue import Empty
from threading import get_ident
from time import monotonic
from typing import Any

from kombu.log import get_logger
from kombu.utils.json import dumps
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
        #: whether a pop may wait behind a bell: only where nothing holds up who reads its answer
        self.eager = False
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
            and (self._tells or not self._in_poll)
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
        pop = Pop([queue], 1, self._tags(), {queue: 1} if no_ack else {})
        keys, arguments = self._words_of(pop, ())
        for _, payload in pop.messages(self._take(keys=keys, args=arguments), self.ledger.set_aside):
            message = self.Message(payload, channel=self)
            if not no_ack:
                self.qos.append(message, message.delivery_tag)
            return message
        return None

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
        waits, self._look = not self._look, False
        commands = [("BRPOP", *map(self._bell, queues), self.poll_interval)] if waits else []
        if self.eager or not waits:  # Redis keeps it back behind the bell: one way there and back for both
            commands.append(self._begin_pop(queues, waits))
        connection.send_packed_command(connection.pack_commands(commands))

    def _begin_pop(self, queues: Sequence[str], waits: bool) -> tuple[Any, ...]:
        most = {queue: self.most(queue) for queue in queues if queue in self._no_ack}
        self.popping = pop = Pop(queues, self._room(most), self._tags(), most, waits)
        self.qos.coming = pop.tags, pop.room
        if self._tells:
            self._settling += self.qos.take_pending()
        keys, arguments = self._words_of(pop, self._settling)
        take = ("EVALSHA", self._take.sha) if self._known else ("EVAL", script("pop"))
        return (*take, len(keys), *keys, *arguments)

    @property
    def _tells(self) -> bool:
        """Whether the pop that is under way tells Redis at once what was acknowledged."""
        return self.popping is not None and not self.popping.waits

    def _room(self, most: Mapping[str, int]) -> int:
        # without acknowledgements nothing else tells how much is under way
        if most:
            return max(most.values())
        room = self.qos.can_consume_max_estimate()
        return MOST if room is None else max(1, min(room, MOST))

    def _brpop_read(self, **options: Any) -> bool:
        if not self._in_poll:  # nothing was asked for: Redis ended a connection that rested
            self.client.connection.disconnect()
            raise Empty
        pop, self.popping = self.popping, None
        asked, self._look = self._look, True  # unless the pop says otherwise
        refused: ResponseError | None = None
        try:
            if pop is None or pop.waits:
                refused = self._wait_over(**options)
            answer = self._answer("EVALSHA", **options) if pop else []
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if pop:
            self._settling.clear()
            self._look = asked or pop.leaves_some(answer)
            self._deliver_all(list(pop.messages(answer, self.ledger.set_aside)))
        if refused:
            raise refused
        if not answer:
            raise Empty
        return True

    def _wait_over(self, **options: Any) -> ResponseError | None:
        """Read that a wait is over, or why Redis refused it: even then it carries out the pop that follows."""
        try:
            self._answer("BRPOP", **options)
        except ResponseError as error:
            return error
        return None

    def _answer(self, command: str, **options: Any) -> Any:
        connection = self.client.connection
        try:
            # redis-py's own: Kombu's client changes answers where keys have a prefix
            read: Any = Redis.parse_response
            answer = read(self.client, connection, command, **options)
        except NoScriptError:
            self._known = False
            raise Empty from None
        except self.connection_errors:
            connection.disconnect()
            raise
        self.broken = False
        self._known = self._known or command == "EVALSHA"
        return answer

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
        if self._qos is not None and self._qos.pending and not (self._tells or self._qos.waits_for_room):
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
        """Give up a wait and read what is on its way; what nobody consumes goes back into its queue at once."""
        pop, connection, broken = self.popping, self._in_poll, self.broken
        if pop and connection and self._pid == os.getpid():
            hung_up = pop.waits and hang_up(connection)
            try:
                with suppress(Empty, *self.connection_errors):
                    self.handlers["BRPOP"]()
            finally:
                if hung_up:
                    connection.disconnect()
                    self.broken = broken
        if self._qos is not None:
            self._qos.pending.extend(self._settling)
            self._settling.clear()
            self._qos.flush()

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            self.popping, self._look = None, True
            if self._qos is not None:  # or the leases of what nobody will read would be renewed
                self._qos.coming = "", 0
        self.broken = self.broken or not self._closing
        super()._on_connection_disconnect(connection)

    def close(self) -> None:
        if self._pid != os.getpid():  # what is under way is the parent's
            self._qos, self._in_poll = None, None
        elif not self.closed and self.connection is not None:
            self._finish_pop()
            self._closing = True
            if self._in_poll:  # at a bell
                self._in_poll.disconnect()
                self._in_poll = None
        try:
            super().close()
        finally:
            if self._qos is not None:
                self._qos.end()


def _one(queue: str) -> int:
    return 1
