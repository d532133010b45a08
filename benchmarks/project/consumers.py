"""What the measurements need and nothing more."""

import os
import time

from channelcelery import Group, consumer
from channelcelery.message import Message

#: How many messages of the channel "nothing" this process has run.
_ran = 0


@consumer("websocket.connect", path=r"^/(?:echo|slow)$")
def accept(message: Message) -> None:
    """Accept."""
    message.reply_channel.send({"accept": True})


@consumer("websocket.receive", path=r"^/echo$")
def echo(message: Message) -> None:
    """Send the text back."""
    message.reply_channel.send({"text": message["text"]})


@consumer("websocket.receive", path=r"^/slow$")
def echo_slowly(message: Message) -> None:
    """Send the text back, later where it asks for that."""
    if message["text"].startswith("slow"):
        time.sleep(0.05)
    message.reply_channel.send({"text": message["text"]})


@consumer("websocket.connect", path=r"^/group$")
def join(message: Message) -> None:
    """Join the group first, so that an accepted socket gets every send."""
    Group("bench").add(message.reply_channel)
    message.reply_channel.send({"accept": True})


@consumer("websocket.connect", path=r"^/groups/(?P<first>\d+)/(?P<count>\d+)$")
def join_many(message: Message, first: str, count: str) -> None:
    """Join the group and many others."""
    for number in range(int(first), int(first) + int(count)):
        Group(f"other-{number}").add(message.reply_channel)
    join(message)


@consumer("websocket.disconnect")
def leave(message: Message) -> None:
    """Do nothing: the interface has left the group already."""


@consumer("nothing")
def nothing(message: Message) -> None:
    """Do nothing, and where a message names a file write down when, and how many ran before it."""
    global _ran
    if (file := message.get("stamp")) is not None:
        with open(f"{file}.part", "w") as stamp:
            stamp.write(f"{time.monotonic_ns()} {_ran}")
        os.rename(f"{file}.part", file)
    _ran += 1
