"""Its consumers, found by autodiscovery."""

from typing import Any

from channelcelery import consumer


@consumer("websocket.receive", path="^/decorated")
@consumer("chat")
def decorated(message: Any) -> None:
    """One function for two channels."""


@consumer(["websocket.receive", "websocket.connect"])
async def later(message: Any) -> None:
    """Whatever the first did not take."""


@consumer("chat", alias="other")
def elsewhere(message: Any) -> None:
    """For another layer."""
