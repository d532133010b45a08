"""Consumers of reliable channels; each writes down when a message starts and when it ends."""

import os
import signal
import time

from channelcelery import Channel, Reliable, consumer
from channelcelery.exceptions import Retry
from channelcelery.message import Message
from tests.chaos.effects import write_down

#: However often its process is killed.
PATIENT = Reliable(max_attempts=1000, backoff=0)


@consumer("work", reliable=PATIENT)
def work(message: Message) -> None:
    """Take some time and send a second message; one with `after` asks for its second run then."""
    _write("start", message)
    time.sleep(message.get("seconds", 0.02))
    if (after := message.get("after")) is not None and message.attempt == 1:
        _write("wait", message)
        raise Retry(after=after)
    Channel("second").send({"number": message["number"]})
    _write("end", message)


@consumer("second", reliable=PATIENT)
def second(message: Message) -> None:
    """Note that what a consumer sent came."""
    _write("start", message)
    _write("end", message)


@consumer("poison", reliable=Reliable(max_attempts=3, backoff=0, time_limit=1))
def poison(message: Message) -> None:
    """End as the message says."""
    _write(f"poison-{message['how']}", message)
    match message["how"]:
        case "exit":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exceed":
            time.sleep(60)
        case "raise":
            raise RuntimeError("on purpose")


@consumer("mended", reliable=Reliable(max_attempts=2, backoff=0))
def wait_for_a_mend(message: Message) -> None:
    """Fail until somebody has mended what it needs."""
    if not os.path.exists(os.environ["TEST_NOTES"] + ".mended"):
        raise RuntimeError("on purpose")
    _write("start", message)
    _write("end", message)


def _write(what: str, message: Message) -> None:
    write_down(what, message.channel.name, message["number"], message.id, message.attempt)
