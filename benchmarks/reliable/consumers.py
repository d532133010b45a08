"""The consumer that is measured."""

from benchmarks.reliable.stamp import run
from channelcelery import consumer
from channelcelery.message import Message


@consumer("counted", reliable=True)
def count(message: Message) -> None:
    """Do nothing but count."""
    run(message.get("stamp"))
