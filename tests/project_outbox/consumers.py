"""Consumers of channels with an outbox; what they do is written down, or a row of the database."""

import os
import signal
import time

from django.db import connection

from channelcelery import Channel, Reliable, consumer
from channelcelery.message import Message
from tests.project.consumers import write_down

BOXED = Reliable(max_attempts=3, backoff=0, outbox=True)


@consumer("boxed", reliable=BOXED)
def note(message: Message) -> None:
    """Write down what came."""
    time.sleep(message.get("seconds", 0))
    write_down(f"boxed {message['number']} {message.id} {message.attempt} {message.redelivered}")


@consumer("fails", reliable=BOXED)
def fail(message: Message) -> None:
    """Fail as often as the message says."""
    write_down(f"fails {message['number']} {message.attempt}")
    if message.attempt <= message["times"]:
        raise RuntimeError("on purpose")


@consumer("once", reliable=Reliable(max_attempts=50, backoff=0, idempotent=True))
def act_once(message: Message) -> None:
    """Have an effect, send a message on, and kill the process now and then."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (number) VALUES (%s)", [message["number"]])
    Channel("second").send({"number": message["number"]})
    write_down(f"once {message['number']} {message.attempt}")
    if message.get("kill") and message.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@consumer("second", reliable=True)
def note_second(message: Message) -> None:
    """Write down that what a consumer sent on came."""
    write_down(f"second {message['number']} {message.id}")
