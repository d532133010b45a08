"""A process that sends numbered messages to a reliable channel, and writes down which of them were confirmed.

`python -m tests.chaos.sender CHANNEL FIRST COUNT PER_SECOND CONTENT [ERRORS_IN_A_ROW]`: each message once; one that
was refused is written down with its error and, if the last argument says so, sent again as the next number.
"""

import json
import signal
import sys
import time
from types import FrameType

import django

from channelcelery import Channel
from channelcelery.exceptions import BrokerUnavailable, ChannelFull
from tests.chaos.effects import write_down

_stopped = False


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped
    _stopped = True


def main(channel: str, first: int, count: int, per_second: float, content: str) -> None:
    """Send."""
    signal.signal(signal.SIGTERM, _stop)
    django.setup()
    target, shared, begun = Channel(channel), json.loads(content), time.monotonic()
    for step in range(count):
        if _stopped:
            return
        # by the clock, so that a pause is made up for
        time.sleep(max(0.0, begun + step / per_second - time.monotonic()))
        number = first + step
        every = shared.get("every", 1)
        extra = {key: value for key, value in shared.items() if key != "every"} if number % every == 0 else {}
        try:
            identity = target.send({"number": number, **extra})
        except (BrokerUnavailable, ChannelFull) as error:
            write_down("refused", channel, number, type(error).__name__, 0)
        else:
            write_down("sent", channel, number, str(identity), 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
