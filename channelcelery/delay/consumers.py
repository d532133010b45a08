"""The consumer of `asgi.delay` (item 206)."""

import logging

from channelcelery.channel import Channel
from channelcelery.consumers import consumer
from channelcelery.exceptions import InvalidContent, InvalidName
from channelcelery.message import Message

__all__ = ["delay"]

logger = logging.getLogger("django.channels.delay")


@consumer("asgi.delay")
def delay(message: Message) -> None:
    """Let `content` wait for `delay` milliseconds and send it to `channel` then.

    A malformed message is logged and goes no further (defect 8 of Channels 1.x: its server stopped).

    Args:
        message: with the keys channel, delay and content.
    """
    try:
        name, milliseconds, content = (message[key] for key in ("channel", "delay", "content"))
        Channel(name, channel_layer=message.channel_layer).send(content, delay=milliseconds)
    except KeyError as error:
        logger.error("a message on asgi.delay lacks %s; it needs channel, delay (milliseconds) and content", error)
    except (InvalidName, InvalidContent) as error:
        logger.error("a message on asgi.delay cannot be delayed: %s", error)
