"""Sends to the floor of group sends, by the protocol of `benchmarks.kit.sender`."""

import os
import socket
import sys
import time


def main() -> None:
    """Send what each line says, until there are no more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["BENCH_SOCKET"])
        print("ready", flush=True)
        for line in sys.stdin:
            _, _, text = line.split(" ", 2)
            cpu, before = time.process_time_ns(), time.monotonic_ns()
            connection.sendall(text.encode())
            after, cpu = time.monotonic_ns(), time.process_time_ns() - cpu
            print("ok", before, after, cpu, flush=True)


if __name__ == "__main__":
    main()
