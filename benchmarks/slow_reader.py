"""`python -m benchmarks.slow_reader`: what one client that does not read costs the others of its group.

Rounds without it and with it take turns in one run, on the same processes and the same 999 sockets, so that a noisy
machine is as noisy for both. In a round with it, its socket's buffers in the kernel are filled first; then it is
blocked, and all that its group is sent waits for it in the interface process, until that closes it with 1013.

All receipts of one send are late together, so that a p99 of few sends is the time of the worst one: there are many, and
beside it stands the median of the times that single sends took to reach 99 % of the sockets. Of all this the ratios of
pairs count, and their median; and the p99 of all rounds with it divided by that of all without it.
"""

import argparse
import array
import asyncio
import json
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kit.figures import latencies
from benchmarks.kit.procstat import difference, snapshot
from benchmarks.kit.websocket import WebSocket, connect_many
from benchmarks.processes import Running, run_interface, run_servers
from benchmarks.subjects import PRODUCT
from channelcelery.conf import layer_config
from channelcelery.layers.redis import RedisChannelLayer
from tests.integration.interfaces import RawClient
from tests.processes import Process

__all__ = ["main"]

#: Kibibytes that are sent to the slow one alone: more than the kernel takes, and less than closes it.
_FILL = 2_900
_TOLD = "does not read what it is sent"


@dataclass(slots=True)
class Receipts:
    """When each socket got what was sent, in seconds after it was to be sent, by send."""

    by_send: "dict[bytes, array.array[float]]" = field(default_factory=dict)
    count: int = 0
    closed: int = 0

    def on_message(self, socket: WebSocket, payload: bytes) -> None:
        """Note a receipt; a message begins with the time."""
        sent = bytes(payload[:20])
        self.by_send.setdefault(sent, array.array("d")).append(time.monotonic() - float(sent))
        self.count += 1

    def on_closed(self, socket: WebSocket) -> None:
        """Count a socket that was closed."""
        self.closed += 1


def peak(process: Process, *, anew: bool = False) -> float:
    """Return the MiB of memory that a process held at most, or begin to look at that again."""
    if anew:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


class Bench:
    """The processes, the sockets, and rounds of sends.

    Args:
        options: those of the command line.
        running: where all is.
        interface: the process that holds the sockets.
    """

    def __init__(self, options: argparse.Namespace, running: Running, interface: Process) -> None:
        self._options, self._running, self._interface = options, running, interface
        entry = {"BACKEND": "channelcelery.layers.RedisChannelLayer"}
        config = {"hosts": [running.env["CHANNEL_LAYER_URL"]]}
        self._layer = RedisChannelLayer(layer_config("default", {**entry, "CONFIG": config}))
        self.receipts = Receipts()
        #: all of the rounds without the slow one, and of those with it
        self.all: tuple[list[float], list[float]] = ([], [])

    async def run(self) -> list[dict[str, Any]]:
        """Run the rounds, without and with the slow one in turn."""
        url = f"ws://127.0.0.1:{self._running.port}/group"
        taking = self.receipts
        connected = await connect_many(url, self._options.sockets - 1, 50, taking.on_message, taking.on_closed, 60)
        if connected.errors:
            raise SystemExit(f"not all sockets could be opened: {connected.errors}")
        rounds = []
        for number in range(self._options.rounds):
            # each of them is the first of its pair as often as the other
            for slow in (False, True) if number % 2 == 0 else (True, False):
                rounds.append(await self._round(slow))
                print(json.dumps(rounds[-1]), flush=True)
        self._layer.close()
        return rounds

    async def _round(self, slow: bool) -> dict[str, Any]:
        told = self._interface.output().count(_TOLD)
        with ExitStack() as stack:
            if slow:
                client = RawClient(self._running.port, "/groups/0/1", receive_buffer=4096)
                stack.callback(client.socket.close)
                if await asyncio.to_thread(client.status) != 101:
                    raise SystemExit("the slow one was refused")
                for _ in range(_FILL // 10):
                    await asyncio.to_thread(self._layer.send_group, "other-0", {"text": "x" * 10 * 1024})
            peak(self._interface, anew=True)
            await self._send(10)
            self.receipts.by_send, self.receipts.count = {}, 0
            before = snapshot({"interface": self._interface.pid})
            await self._send(self._options.sends)
            got = self.receipts.count
            used = difference(before, snapshot({"interface": self._interface.pid}), got)
            closed = self._interface.output().count(_TOLD) - told
        if self.receipts.closed or got != self._options.sends * (self._options.sockets - 1):
            raise SystemExit(f"{self.receipts.closed} of the others were closed, and {got} receipts came")
        if closed != slow:
            raise SystemExit(f"{closed} sockets were closed as slow, in a round with {int(slow)}")
        cpu = used["procs"]["interface"]["cpu_us_per"]
        sends = [latencies(one)["p99_ms"] for one in self.receipts.by_send.values()]
        seconds = [each for one in self.receipts.by_send.values() for each in one]
        self.all[slow].extend(seconds)
        report = {"slow": slow, "peak_mib": round(peak(self._interface), 2), "cpu_us": cpu, **latencies(seconds)}
        return report | {"send_p99_ms": statistics.median(filter(None, sends))}

    async def _send(self, number: int) -> None:
        begun, before = time.monotonic(), self.receipts.count
        for send in range(number):
            at = begun + send / self._options.rate
            await asyncio.sleep(at - time.monotonic())
            text = f"{at:020.9f}".ljust(self._options.size, "x")
            await asyncio.to_thread(self._layer.send_group, "bench", {"text": text})
        async with asyncio.timeout(30):
            while self.receipts.count - before < number * (self._options.sockets - 1):
                await asyncio.sleep(0.01)


def main() -> None:
    """Measure, and print each round and the ratios of each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=1_000, help="in the group, the slow one included")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of a round without and a round with it")
    parser.add_argument("--sends", type=int, default=180, help="group sends of a round: for more than send_timeout")
    parser.add_argument("--rate", type=float, default=15, help="group sends a second")
    parser.add_argument("--size", type=int, default=2_048, help="bytes of each")
    options = parser.parse_args()
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(run_servers("redis", logs)).of(PRODUCT)
        interface = stack.enter_context(run_interface(running, PRODUCT))
        bench = Bench(options, running, interface)
        rounds = asyncio.run(bench.run())
    without, with_it = ([each for each in rounds if each["slow"] is slow] for slow in (False, True))
    report: dict[str, Any] = {}
    for figure in ("cpu_us", "p50_ms", "p99_ms", "send_p99_ms"):
        ratios = [b[figure] / a[figure] for a, b in zip(without, with_it, strict=True)]
        report[f"{figure}_ratio"] = {
            "median": round(statistics.median(ratios), 3),
            "all": [round(r, 3) for r in ratios],
        }
    pooled = [latencies(seconds)["p99_ms"] or 0.0 for seconds in bench.all]
    report["p99_ms_of_all"] = {"without": pooled[0], "with": pooled[1], "ratio": round(pooled[1] / pooled[0], 3)}
    report["peak_mib_more"] = round(max(b["peak_mib"] for b in with_it) - max(a["peak_mib"] for a in without), 2)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
