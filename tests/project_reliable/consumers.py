"""Consumers of reliable channels; each writes down what it does, with the run's number."""

import os
import signal
import time

from channelcelery import Channel, Reliable, consumer
from channelcelery.exceptions import Reject, Retry
from channelcelery.message import Message
from tests.project.consumers import write_down

SOON = Reliable(max_attempts=3, backoff=0)


@consumer("orders", reliable=SOON)
def handle(message: Message) -> None:
    """Take some time between the two lines."""
    write_down(f"start {message['number']} {message.attempt} {time.time()} {os.getpid()}")
    time.sleep(message.get("seconds", 0.02))
    write_down(f"end {message['number']} {message.attempt} {time.time()}")


@consumer("fails", reliable=SOON)
def fail(message: Message) -> None:
    """End as the message says."""
    write_down(f"{message['how']} {message.attempt} {message.redelivered} {message.id}")
    Channel("plain").send({"number": message["how"]})
    match message["how"]:
        case "retry":
            raise Retry(after=0)
        case "reject":
            raise Reject("no such order")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "once" if message.attempt > 1:
            return
        case "exit":
            raise SystemExit
    raise RuntimeError("on purpose")


@consumer("slow-retry", reliable=SOON)
def retry_later(message: Message) -> None:
    """Ask for another run after 1.2 s, once."""
    write_down(f"waits {message['number']} {message.attempt} {time.time()} {message.redelivered}")
    if message.attempt == 1:
        raise Retry(after=1.2)


@consumer("note-time-reliably", reliable=SOON)
def note_time_reliably(message: Message) -> None:
    """Write down how many milliseconds after its sending a message came, as `note-time` does."""
    write_down(f"reliable-{message['after']} {(time.time() - message['sent']) * 1000:.3f}")


@consumer("limited", reliable=Reliable(max_attempts=2, backoff=0, time_limit=1))
def exceed(message: Message) -> None:
    """Take longer than allowed."""
    write_down(f"limited {message.attempt}")
    time.sleep(60)


@consumer("stubborn", reliable=Reliable(max_attempts=1, time_limit=0.2))
def go_on(message: Message) -> None:
    """Go on after the time limit."""
    write_down(f"stubborn {message.attempt}")
    try:
        time.sleep(60)
    except Exception:
        time.sleep(60)


@consumer("plain")
def note(message: Message) -> None:
    """A channel without guarantees in the same worker."""
    write_down(f"plain {message['number']}")
