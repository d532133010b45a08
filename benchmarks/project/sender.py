"""The process that sends to the group, by the protocol of `benchmarks.kit.sender`."""

import sys
import time

import django

from channelcelery import Group


def main() -> None:
    """Send what each line says, until there are no more."""
    django.setup()
    print("ready", flush=True)
    for line in sys.stdin:
        _, name, text = line.rstrip("\n").split(" ", 2)
        cpu, before = time.process_time_ns(), time.monotonic_ns()
        Group(name).send({"text": text})
        after, cpu = time.monotonic_ns(), time.process_time_ns() - cpu
        print("ok", before, after, cpu, flush=True)


if __name__ == "__main__":
    main()
