"""Consumers that tests route to."""

from typing import Any


def first(message: Any, **kwargs: Any) -> None:
    """The first one."""


def second(message: Any, **kwargs: Any) -> None:
    """The second one."""


def third(message: Any, **kwargs: Any) -> None:
    """The third one."""


class ClassConsumer:
    """A consumer as Channels 1.x writes classes: constructing it runs it."""

    def __init__(self, message: Any, **kwargs: Any) -> None:
        self.kwargs = kwargs

    @classmethod
    def channel_names(cls) -> set[str]:
        return {"websocket.connect", "websocket.receive"}


not_callable = 5
