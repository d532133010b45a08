"""Fills the channel "nothing": `python -m benchmarks.project.fill MESSAGES BATCH FIRST LAST`; prints one JSON object.

200 messages to warm up, one that stamps the file FIRST, then MESSAGES that do nothing, and one that stamps LAST: from
stamp to stamp a worker's start is outside. BATCH messages are sent together, as a consumer that ends sends them.
"""

import json
import sys
import time

import django

from channelcelery import Channel
from channelcelery.channel import collect_sends

_WARM_UP = 200


def send(messages: int, batch: int) -> None:
    """Send messages that do nothing, so many together; one at a time is `Channel.send` and nothing else."""
    channel = Channel("nothing")
    if batch == 1:
        for number in range(messages):
            channel.send({"number": number})
        return
    for begin in range(0, messages, batch):
        with collect_sends() as collected:
            for number in range(begin, min(begin + batch, messages)):
                channel.send({"number": number})
        channel.channel_layer.flush_sends([send for _, send in collected.sends])


def main() -> None:
    """Fill it."""
    messages, batch, first, last = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    django.setup()
    send(_WARM_UP, batch)
    Channel("nothing").send({"stamp": first})
    cpu, begun = time.process_time(), time.monotonic()
    send(messages, batch)
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    Channel("nothing").send({"stamp": last})
    Channel("nothing").channel_layer.close()
    print(json.dumps({"seconds": seconds, "cpu_s": cpu}))


if __name__ == "__main__":
    main()
