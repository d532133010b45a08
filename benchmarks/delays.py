"""`python -m benchmarks.delays`: how late delayed messages come, of plain and of reliable channels, on both brokers.

One worker, and 200 messages of each kind whose delays are 10 ms apart; a consumer writes down when each came. The exit
status is 1 if one was early, or later than is promised: 100 ms, or 1.1 s on a reliable channel of RabbitMQ, which
counts delays in seconds. Leave the machine alone meanwhile.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.integration.reliable import ReliableSetup
from tests.servers import rabbitmq_server, redis_server

__all__ = ["measure"]

#: Messages of each kind.
COUNT = 200
#: Milliseconds that a message may be late, by the broker and the channel.
PROMISED = {
    ("redis", "note-time"): 100,
    ("redis", "note-time-reliably"): 100,
    ("rabbitmq", "note-time"): 100,
    ("rabbitmq", "note-time-reliably"): 1_100,
}

_SEND = """
import django, time; django.setup()
from channelcelery import Channel
for ms in range(50, 50 + {count} * 10, 10):
    Channel({channel!r}).send({{"after": ms, "sent": time.time()}}, delay=ms)
"""


def measure(broker: str, layer: str, channel: str) -> list[float]:
    """Return by how many milliseconds each message was late, in order.

    Args:
        broker: URL of an empty broker.
        layer: URL of an empty Redis database.
        channel: of the project for tests: one that notes when its messages come.
    """
    with tempfile.TemporaryDirectory() as directory:
        setup = ReliableSetup(broker=broker, layer=layer, directory=Path(directory))
        setup.migrate()
        with setup.worker():
            setup.python(_SEND.format(count=COUNT, channel=channel))
            lines = [line.split() for line in setup.wait_for_lines(COUNT)]
    return sorted(float(came) - int(after.removeprefix("reliable-")) for after, came in lines)


def main() -> int:
    """Measure and print; the exit status is 1 if a promise was broken."""
    broken = False
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        rabbit = stack.enter_context(rabbitmq_server())
        numbers = iter(range(16))
        print("broker    channel              earliest   median      p99   latest, ms late")
        for (name, channel), most in PROMISED.items():
            broker = server.database(next(numbers)) if name == "redis" else rabbit.new_vhost()
            late = measure(broker, server.database(next(numbers)), channel)
            figures = (late[0], median(late), late[-1 - COUNT // 100], late[-1])
            print(f"{name:<10}{channel:<20}" + "".join(f"{figure:9.1f}" for figure in figures), flush=True)
            broken = broken or late[0] < 0 or late[-1] > most
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
