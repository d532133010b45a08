"""Consumers that write down what they did into the file that TEST_NOTES names: one line each, in one write."""

import os
import signal
import time

from channelcelery import Channel, Group, consumer
from channelcelery.exceptions import ConsumeLater, DenyConnection, WebsocketCloseException
from channelcelery.message import Message


def write_down(line: str) -> None:
    """Append a line; a single small write with O_APPEND does not mix with those of other processes."""
    file = os.open(os.environ["TEST_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


@consumer(["work", "work-too", "work-again"])
def work(message: Message) -> None:
    """Take some time, and write the message's number down."""
    time.sleep(message["seconds"])
    write_down(str(message["number"]))


@consumer("note-time")
def note_time(message: Message) -> None:
    """Write down how many milliseconds after its sending a message came."""
    write_down(f"{message['after']} {(time.time() - message['sent']) * 1000:.3f}")


@consumer("work-async")
async def work_async(message: Message) -> None:
    """The same as a coroutine."""
    write_down(f"async {message['number']}")


@consumer("raise")
def fail(message: Message) -> None:
    """Send something, then raise."""
    Channel("work").send({"seconds": 0, "number": f"sent by {message['number']}"})
    raise RuntimeError("on purpose")


@consumer("later")
def never_ready(message: Message) -> None:
    """Write the number down, and ask to run again."""
    write_down(f"not yet {message['number']}")
    raise ConsumeLater


@consumer("mixed")
def mixed(message: Message) -> None:
    """Write the number down, or never return, or be killed."""
    if message.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    while message.get("hang"):
        time.sleep(1)
    write_down(str(message["number"]))


@consumer("kill")
def kill(message: Message) -> None:
    """End the process that runs this, as the kernel would when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@consumer("forward")
def forward(message: Message) -> None:
    """Send two messages and a group send; they leave together."""
    Channel("work").send({"seconds": 0, "number": f"{message['number']} a"})
    Channel("work").send({"seconds": 0, "number": f"{message['number']} b"})


@consumer("websocket.connect", path=r"^/group/(?P<name>[\w-]+)/$")
def join(message: Message, name: str) -> None:
    """Join a group; the worker accepts, since nothing was sent."""
    Group(name).add(message.reply_channel)


@consumer("websocket.receive", path=r"^/group/(?P<name>[\w-]+)/$")
def say(message: Message, name: str) -> None:
    """Send what came to everyone in the group."""
    Group(name).send({"text": message["text"]})


@consumer("websocket.disconnect", path=r"^/group/(?P<name>[\w-]+)/$")
def leave(message: Message, name: str) -> None:
    """Write the close code down."""
    write_down(f"left {name} {message['code']} order {message.get('order')}")


@consumer("websocket.connect", path=r"^/deny/$")
def deny(message: Message) -> None:
    """Refuse."""
    raise DenyConnection


@consumer("websocket.connect", path=r"^/raise/$")
def raise_in_connect(message: Message) -> None:
    """Fail before answering."""
    raise RuntimeError("on purpose")


@consumer("websocket.receive", path=r"^/echo/$")
def echo(message: Message) -> None:
    """Send back what came: text, bytes, or what the text asks for."""
    if message.get("bytes") is not None:
        message.reply_channel.send({"bytes": message["bytes"]})
        return
    text = message["text"]
    match text.split():
        case ["close", code]:
            raise WebsocketCloseException(int(code))
        case ["raise"]:
            raise RuntimeError("on purpose")
        case ["bad-key"]:
            message.reply_channel.send({"text": text, "colour": "red"})
        case ["bad-value"]:
            message.reply_channel.send({"text": 5})
        case ["bad-type"]:
            message.reply_channel.send([text])
        case _:
            message.reply_channel.send({"text": text})
