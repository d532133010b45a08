"""Consumers that want order, do what a frame's text says, and write down when they began and ended."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channelcelery import route, route_class
from channelcelery.exceptions import ConsumeLater
from channelcelery.generic.websockets import WebsocketConsumer
from channelcelery.sessions import enforce_ordering
from tests.project.consumers import write_down


@contextmanager
def noted(name: str, message: Any) -> Iterator[None]:
    """Write down which message of which socket ran, and from when to when, by the machine's monotonic clock."""
    begun = time.monotonic()
    try:
        yield
    finally:
        event = message.channel.name.removeprefix("websocket.")
        write_down(f"{name} {event} {message.get('order')} {begun:.6f} {time.monotonic():.6f}")


def act(message: Any) -> None:
    """Do what the text asks for, and send it back."""
    text = message["text"]
    message.reply_channel.send({"text": text})
    match text.split():
        case ["sleep", seconds, *_]:
            time.sleep(float(seconds))
        case ["raise", *_]:
            raise RuntimeError("on purpose")
        case ["kill", *_]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["later", *_]:
            seen = message.channel_session.get("later", 0)
            message.channel_session["later"] = seen + 1
            if not seen:
                raise ConsumeLater


@enforce_ordering
def connect(message: Any, name: str) -> None:
    """Begin to count."""
    with noted(name, message):
        message.channel_session["count"] = 0


@enforce_ordering
def receive(message: Any, name: str) -> None:
    """Count, which loses none only if no two run at the same time."""
    with noted(name, message):
        message.channel_session["count"] += 1
        act(message)


@enforce_ordering
def disconnect(message: Any, name: str) -> None:
    """Write the count down."""
    with noted(name, message):
        write_down(f"{name} counted {message.channel_session.get('count')} - -")


def bare_connect(message: Any, name: str) -> None:
    """Say nothing about order."""


@enforce_ordering
def late_receive(message: Any, name: str) -> None:
    """Handle a frame of a socket whose connect had no order."""
    with noted(name, message):
        act(message)


@enforce_ordering(slight=True)
def slight_connect(message: Any, name: str) -> None:
    """Accept at once, and take time then, so that frames come meanwhile."""
    with noted(name, message):
        message.reply_channel.send({"accept": True}, immediately=True)
        time.sleep(0.5)


@enforce_ordering(slight=True)
def slight_receive(message: Any, name: str) -> None:
    """Handle a frame beside others."""
    with noted(name, message):
        act(message)


@enforce_ordering(slight=True)
def slight_disconnect(message: Any, name: str) -> None:
    """Note the end."""
    with noted(name, message):
        pass


class Strict(WebsocketConsumer):
    """The same as a class."""

    strict_ordering = True

    def connect(self, message: Any, **kwargs: Any) -> None:
        with noted(kwargs["name"], message):
            message.reply_channel.send({"accept": True}, immediately=True)
            time.sleep(0.3)

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:
        with noted(kwargs["name"], self.message):
            act(self.message)

    def disconnect(self, message: Any, **kwargs: Any) -> None:
        with noted(kwargs["name"], message):
            pass


class Slight(Strict):
    """The same with slight order."""

    strict_ordering = False
    slight_ordering = True


def socket_routes(path: str, *consumers: Any) -> list[Any]:
    """Return the routes of connect, receive and disconnect."""
    events = ("websocket.connect", "websocket.receive", "websocket.disconnect")
    return [
        route(event, consumer, path=rf"^/{path}/(?P<name>[\w-]+)/$")
        for event, consumer in zip(events, consumers, strict=True)
    ]


routing = [
    *socket_routes("strict", connect, receive, disconnect),
    *socket_routes("bare", bare_connect, late_receive, disconnect),
    *socket_routes("bare-end", connect, receive, bare_connect),
    *socket_routes("slight", slight_connect, slight_receive, slight_disconnect),
    route_class(Strict, path=r"^/class-strict/(?P<name>[\w-]+)/$"),
    route_class(Slight, path=r"^/class-slight/(?P<name>[\w-]+)/$"),
]
