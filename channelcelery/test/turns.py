"""Consumers that want order, in a test: each message in its turn (items 155 to 172)."""

from collections.abc import Callable
from typing import Any

from channelcelery.core.names import ReplyAddress, reply_address
from channelcelery.core.ordering import LAST, Arrival, Verdict
from channelcelery.core.sends import ChannelSend
from channelcelery.exceptions import InvalidName
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.ordering import Ordering, message_order, ordering_of

__all__ = ["Turns"]


class Turns:
    """The order of the connections of one test layer.

    A worker takes it that number 0 of a connection ran before any other came, since nobody is heard before. A test may
    send as it likes, so here number 0 is waited for.
    """

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._early: dict[str, list[tuple[int, str, bytes]]] = {}

    def run(self, layer: ChannelLayer, message: Message, consumer: object, run: Callable[[], Any]) -> Any:
        """Run a message, and return what its consumer returned.

        Where the consumer wants order, a message that is early is set aside, and is back in its channel when those
        before it have run. One that comes twice is dropped. In both cases nothing runs now, and None is returned.

        Args:
            layer: the layer that it came by.
            message: the message.
            consumer: its consumer.
            run: runs it.
        """
        address, number = _address(message), _number(message)
        if address is None or number is None:
            return run()
        try:
            return self._run(layer, address, number, message, ordering_of(consumer, message.channel.name), run)
        finally:
            if number == 0:
                self._begun.add(address.token)
                for _, channel, item in sorted(self._early.pop(address.token, ())):
                    layer.publisher.put_back(channel, [item])

    def _run(
        self,
        layer: ChannelLayer,
        address: ReplyAddress,
        number: int,
        message: Message,
        ordering: Ordering | None,
        run: Callable[[], Any],
    ) -> Any:
        send = layer.prepare(message.channel.name, message.content)
        if ordering is None or not isinstance(send, ChannelSend):
            return run()
        if 0 < number < LAST and address.token not in self._begun:
            self._early.setdefault(address.token, []).append((number, send.channel, send.item))
            return None
        arrival = Arrival(number, send.channel, send.item, ordering is Ordering.SLIGHT)
        verdict = layer.order.enter(address, arrival).verdict
        if verdict is Verdict.FREE:
            return run()
        if verdict is Verdict.RUN:
            try:
                return run()
            finally:
                for parked in layer.order.leave(address, number).handed:
                    layer.publisher.put_back(parked.channel, [parked.item])
        if verdict is Verdict.FULL:
            layer.send(address.channel(), {"close": 1013})
        return None


def _address(message: Message) -> ReplyAddress | None:
    try:
        return None if message.reply_channel is None else reply_address(message.reply_channel.name)
    except InvalidName:  # a normal channel, as tests use them for replies too
        return None


def _number(message: Message) -> int | None:
    try:
        return message_order(message)
    except ValueError:  # the decorator says so, if there is one
        return None
