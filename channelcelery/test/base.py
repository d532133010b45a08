"""Test cases with layers of their own, and a client that sends, consumes and receives (items 209 to 212, 218)."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, Literal, overload

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import TestCase, TransactionTestCase

from channelcelery.around import finish
from channelcelery.channel import CollectedSends, Group, collect_sends
from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import ChannelFull, ChannelSocketException
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.signals import consumer_finished, consumer_started
from channelcelery.test.layer import NODE, ReadableLayer, make_readable_layer
from channelcelery.test.routes import apply_routes

__all__ = [
    "ChannelTestCase",
    "ChannelTestCaseMixin",
    "Client",
    "TransactionChannelTestCase",
    "addressed",
    "apply_routes",  # which Channels 1.x had here
    "next_message",
    "readable_layers",
]

_NOTHING: dict[str, Any] = {}


@contextmanager
def readable_layers(aliases: Iterable[str]) -> Iterator[dict[str, ReadableLayer]]:
    """Put fresh layers in memory in the place of the project's, for the block.

    Args:
        aliases: the layers' aliases in CHANNEL_LAYERS.

    Raises:
        KeyError: CHANNEL_LAYERS has no such alias.
        InvalidChannelLayerError: an entry is wrong.
    """
    layers = {alias: make_readable_layer(alias) for alias in aliases}
    before = {alias: channel_layers.set(alias, layer) for alias, layer in layers.items()}
    try:
        yield layers
    finally:
        for alias, layer in before.items():
            channel_layers.set(alias, layer)


def next_message(channel: str, alias: str = DEFAULT_CHANNEL_LAYER) -> Message | None:
    """Return the next message that was sent to a channel, or None; of a delayed one, when it is due.

    Args:
        channel: a normal channel, or the reply channel of a client.
        alias: the layer's alias in CHANNEL_LAYERS.

    Raises:
        TypeError: the layer is the project's own, which a test must not read.
    """
    layer = _readable(alias)
    found, content = layer.receive([channel])
    return None if found is None or content is None else Message(content, found, layer)


def _readable(alias: str) -> ReadableLayer:
    layer = channel_layers[alias]
    if not isinstance(layer, ReadableLayer):
        raise TypeError(
            f"the layer {layer} is not one for tests: inherit from ChannelTestCase and name {alias!r} in "
            "test_channel_aliases, or use the fixture channel_layer"
        )
    return layer


class ChannelTestCaseMixin:
    """Gives each test fresh layers in memory, without `super().setUp()` having to be called (item 210)."""

    #: The layers that are the test's own; sends to others reach the project's.
    test_channel_aliases: Iterable[str] = [DEFAULT_CHANNEL_LAYER]
    _layers: ExitStack

    @classmethod
    def _pre_setup(cls) -> None:
        with ExitStack() as stack:
            stack.enter_context(readable_layers(cls.test_channel_aliases))
            super()._pre_setup()  # type: ignore[misc]  # Django's, of the class that this is mixed into
            cls._layers = stack.pop_all()

    def _post_teardown(self) -> None:
        with self._layers:
            super()._post_teardown()  # type: ignore[misc]

    @overload
    def get_next_message(self, channel: str, alias: str = ..., require: Literal[False] = ...) -> Message | None: ...
    @overload
    def get_next_message(self, channel: str, alias: str = ..., *, require: Literal[True]) -> Message: ...
    @overload
    def get_next_message(self, channel: str, alias: str, require: bool) -> Message | None: ...
    def get_next_message(
        self, channel: str, alias: str = DEFAULT_CHANNEL_LAYER, require: bool = False
    ) -> Message | None:
        """Return the next message that was sent to a channel, or None (item 211).

        Args:
            channel: a normal channel, or the reply channel of a client.
            alias: the layer's alias in CHANNEL_LAYERS.
            require: let the test fail if there is none.
        """
        message = next_message(channel, alias)
        if message is None and require:
            self.fail(f"Expected a message on channel {channel}, got none")  # type: ignore[attr-defined]
        return message


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """Django's TestCase with layers of its own."""


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """Django's TransactionTestCase with layers of its own."""


class Client:
    """One connection, and a worker that runs one message when it is told to (item 212).

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER) -> None:
        self.alias = alias
        #: how many consumers ran
        self.ran = 0
        self.reply_channel = ReplyAddress(NODE, secrets.token_hex(16)).channel()

    @property
    def channel_layer(self) -> ReadableLayer:
        """The test's layer.

        Raises:
            TypeError: the layer is the project's own.
        """
        return _readable(self.alias)

    def get_next_message(self, channel: str) -> Message | None:
        """Return the next message that was sent to a channel, or None."""
        return next_message(channel, self.alias)

    def get_consumer_by_channel(self, channel: str) -> Callable[..., Any] | None:
        """Return the consumer of a channel's messages that have nothing to filter by, or None."""
        found = self.channel_layer.match(Message({"text": ""}, channel, self.channel_layer))
        return None if found is None else found[0]

    def send(self, to: str, content: dict[str, Any] = _NOTHING) -> None:
        """Send a message to a channel, with this client's reply channel unless it has one.

        Args:
            to: the channel.
            content: the message.
        """
        self.channel_layer.send(to, addressed(to, {"reply_channel": self.reply_channel} | deepcopy(content)))

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:
        """Run the consumer of a channel's next message, and return what it returned.

        As in a worker its sends leave when it has ended, and a ChannelSocketException acts on the message. Any other
        exception is the test's to catch, ConsumeLater and DenyConnection included. Where the consumer wants order, a
        message that is early does not run yet; it is in its channel again when it may.

        Args:
            channel: the channel.
            fail_on_none: raise if there is no message or no consumer.

        Raises:
            AssertionError: there is none.
            ChannelFull: what the consumer sent found no room.
        """
        message = self.get_next_message(channel)
        found = None if message is None else self.channel_layer.match(message)
        if message is not None and found is not None:
            layer = self.channel_layer
            return layer.turns.run(layer, message, found[0], partial(self._run, message, *found))
        if fail_on_none:
            raise AssertionError(
                f"No message for channel {channel}" if message is None else f"Can't find consumer for message {message}"
            )
        return None

    def _run(self, message: Message, consumer: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
        with _open_connections(), collect_sends() as collected:
            consumer_started.send(sender=type(self), environ={})
            self.ran += 1
            try:
                return finish(consumer(message, **kwargs))
            except ChannelSocketException as error:
                error.run(message)
            finally:
                _flush(collected)
                consumer_finished.send(sender=type(self))

    def send_and_consume(self, channel: str, content: dict[str, Any] = _NOTHING, fail_on_none: bool = True) -> Any:
        """Send a message and run its consumer; see `send` and `consume`."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none=fail_on_none)

    def receive(self) -> Any:
        """Return the content of the next message for this client, or None."""
        message = self.get_next_message(self.reply_channel)
        return None if message is None else message.content

    def join_group(self, group_name: str) -> None:
        """Make this client a member of a group."""
        Group(group_name, channel_layer=self.channel_layer).add(self.reply_channel)


def addressed(to: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return a message with the host of a request as in Django's test client, which ALLOWED_HOSTS holds in tests."""
    return {"server": ["testserver", 80]} | content if to == "http.request" else content


@contextmanager
def _open_connections() -> Iterator[None]:
    """Keep the database's connections open, unlike in a worker: the test's transaction is on them (item 218).

    A view closes them by Django's signals, as in Django's test client.
    """
    with ExitStack() as stack:
        for signal in (request_started, request_finished):
            if signal.disconnect(close_old_connections):
                stack.callback(signal.connect, close_old_connections)
        yield


def _flush(collected: CollectedSends) -> None:
    """Send what a consumer sent; unlike a worker it neither waits for room nor drops anything."""
    sends, collected.sends = collected.sends, []
    for layer in dict.fromkeys(layer for layer, _ in sends):
        if full := layer.flush_sends([send for of, send in sends if of is layer]):
            raise ChannelFull(full)
