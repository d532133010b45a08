"""Fills a queue: `python -m benchmarks.reliable.fill SUBJECT MESSAGES FIRST LAST`; prints one JSON object.

As `benchmarks.project.fill`, one message at a time, for the subjects "channelcelery" and "task".
"""

import json
import sys
import time
from collections.abc import Callable

_WARM_UP = 200


def _sender(subject: str) -> Callable[..., object]:
    if subject == "task":
        from benchmarks.reliable.task import count

        return lambda **content: count.apply_async(kwargs=content)
    import django
    from django.core.management import call_command

    import benchmarks.reliable.celery  # noqa: F401  # its app is the one that sends
    from channelcelery import Channel

    django.setup()
    call_command("migrate", verbosity=0)
    channel = Channel("counted")
    return lambda **content: channel.send(content)


def main() -> None:
    """Fill it."""
    subject, messages, first, last = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    send = _sender(subject)
    for number in range(_WARM_UP):
        send(number=number)
    send(number=0, stamp=first)
    cpu, begun = time.process_time(), time.monotonic()
    for number in range(messages):
        send(number=number)
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    send(number=0, stamp=last)
    print(json.dumps({"seconds": seconds, "cpu_s": cpu}))


if __name__ == "__main__":
    main()
