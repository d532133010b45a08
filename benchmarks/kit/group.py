"""Group sends: many sockets in one group, a sender process, and every receipt counted.

One by one: the next send waits until all sockets have the last one, or its missing receipts count as lost. Paced:
sends at fixed times, whether or not the last one is through; latency counts from the intended time, so that a sender
who falls behind shows.
"""

import array
import asyncio
import contextlib
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.kit.figures import cpu_report, latencies, pids_with_client
from benchmarks.kit.procstat import snapshot
from benchmarks.kit.sender import Sender, Sent
from benchmarks.kit.websocket import WebSocket, connect_many, frame

__all__ = ["group"]

_WARM_SENDS = 2


@dataclass(slots=True)
class Receipts:
    """Who got what and when, by the number of the send.

    Args:
        everyone: how many sockets there are, once they are all open.
        total: receipts so far.
        disorder: receipts that were repeated, or overtaken by a later one.
        strange: messages that were no send of ours.
        collecting: whether the seconds of each receipt are kept.
        joining: what the answers of sockets that join begin with.
        joined: how many have.
    """

    everyone: int = -1
    total: int = 0
    disorder: int = 0
    strange: int = 0
    collecting: bool = False
    joining: bytes = b""
    joined: int = 0
    seconds: "array.array[float]" = field(default_factory=lambda: array.array("d"))
    count: dict[int, int] = field(default_factory=dict)
    first: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    sent_at: dict[int, float] = field(default_factory=dict)
    full: "dict[int, asyncio.Future[None]]" = field(default_factory=dict)
    closed: list[WebSocket] = field(default_factory=list)

    def on_message(self, socket: WebSocket, payload: bytes) -> None:
        """Count a receipt."""
        now = time.monotonic()
        at = payload.find(b"b:")
        if at < 0:
            if self.joining and payload.startswith(self.joining):
                self.joined += 1
            else:
                self.strange += not self.joining
            return
        number = int(payload[at + 2 : at + 14])
        if number <= socket.seq:
            self.disorder += 1
        else:
            socket.seq = number
        self.total += 1
        self.count[number] = count = self.count.get(number, 0) + 1
        self.last[number] = now
        if count == 1:
            self.first[number] = now
        if self.collecting:
            self.seconds.append(now - self.sent_at[number])
        if count == self.everyone and not self.full[number].done():
            self.full[number].set_result(None)

    def short(self, numbers: Sequence[int]) -> int:
        """Return how many of some sends did not reach everyone."""
        return sum(self.count.get(number, 0) < self.everyone for number in numbers)


@dataclass(slots=True)
class Run:
    """What both ways of sending need."""

    options: Namespace
    receipts: Receipts
    sender: Sender
    pids: dict[str, int]
    number: int = 0

    def send(self) -> "asyncio.Future[Sent]":
        """Send the next one."""
        self.number += 1
        self.receipts.full[self.number] = asyncio.get_running_loop().create_future()
        self.receipts.sent_at[self.number] = time.monotonic()
        padding = b"x" * max(0, self.options.size - 14)
        return self.sender.send(self.options.group, b"b:%012d" % self.number + padding)

    async def send_and_wait(self) -> Sent:
        """Send the next one, and wait until everyone has it or for `timeout_full` seconds."""
        sent = await asyncio.wait_for(self.send(), self.options.timeout)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.receipts.full[self.number]), self.options.timeout_full)
        return sent


async def group(options: Namespace) -> dict[str, Any]:
    """Run both ways of sending and return their reports."""
    receipts, begun = Receipts(), time.monotonic()
    connected = await connect_many(
        options.url,
        options.conns,
        options.connect_concurrency,
        receipts.on_message,
        receipts.closed.append,
        options.timeout,
    )
    receipts.everyone = len(connected.sockets)
    if options.join:
        await _join(connected.sockets, receipts, options.join.encode(), options.timeout)
    connect_s = time.monotonic() - begun
    await asyncio.sleep(options.settle)
    sender = await Sender.start(options.sender)
    run = Run(options, receipts, sender, pids_with_client(options.pids) | {"sender": sender.pid})
    try:
        for _ in range(_WARM_SENDS):
            await run.send_and_wait()
        one_by_one = await _one_by_one(run)
        paced = await _paced(run)
    finally:
        await sender.stop()
    for socket in connected.sockets:
        socket.close()
    return {
        "mode": "group",
        "conns": options.conns,
        "connected": receipts.everyone,
        "connect_errors": connected.errors,
        "connect_s": round(connect_s, 2),
        "size": options.size,
        "one_by_one": one_by_one,
        "paced": paced,
        "disorder": receipts.disorder,
        "strange": receipts.strange,
        "closed_early": len(receipts.closed),
    }


async def _join(sockets: Sequence[WebSocket], receipts: Receipts, text: bytes, timeout: float) -> None:
    """Let each socket say what takes it into the group, and wait until all were answered; none may have been before."""
    receipts.joining = text
    for socket in sockets:
        socket.transport.write(frame(1, text))
    limit = time.monotonic() + timeout
    while receipts.joined < len(sockets) and time.monotonic() < limit:
        await asyncio.sleep(0.02)
    if receipts.joined < len(sockets):
        raise TimeoutError(f"{receipts.joined} of {len(sockets)} sockets joined within {timeout:g} s")
    receipts.strange = 0


async def _one_by_one(run: Run) -> dict[str, Any]:
    receipts, begun = run.receipts, time.monotonic()
    before, got = snapshot(run.pids), -receipts.total
    sends: dict[int, Sent] = {}
    for _ in range(run.options.sends):
        sent = await run.send_and_wait()
        sends[run.number] = sent
    wall = time.monotonic() - begun
    after = snapshot(run.pids)
    got += receipts.total
    to_last = [receipts.last[number] - sent.before for number, sent in sends.items() if number in receipts.last]
    to_first = [receipts.first[number] - sent.before for number, sent in sends.items() if number in receipts.first]
    return _counts(run, list(sends), got) | {
        "deliveries_per_s": round(got / sum(to_last), 1) if to_last else 0.0,
        "wall_s": round(wall, 3),
        "to_last": latencies(to_last),
        "to_first": latencies(to_first),
        **_calls(list(sends.values())),
        "cpu": cpu_report(before, after, got),
    }


async def _paced(run: Run) -> dict[str, Any]:
    receipts, options = run.receipts, run.options
    rate = options.rate or options.delivery_rate / max(1, receipts.everyone)
    before, got, disorder = snapshot(run.pids), -receipts.total, -receipts.disorder
    begun = time.monotonic()
    receipts.collecting = True
    answers, due = [], {}
    for turn in range(max(2, int(rate * options.duration))):
        at = begun + turn / rate
        if (rest := at - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        answers.append(run.send())
        due[run.number] = at
    sends = await asyncio.wait_for(asyncio.gather(*answers), options.timeout + 10 * options.duration)
    limit = time.monotonic() + options.timeout_full
    while time.monotonic() < limit and receipts.short(list(due)):
        await asyncio.sleep(0.02)
    after = snapshot(run.pids)
    receipts.collecting = False
    got, disorder = got + receipts.total, disorder + receipts.disorder
    end = max((receipts.last[number] for number in due if number in receipts.last), default=time.monotonic())
    return _counts(run, list(due), got) | {
        "rate_per_s": round(rate, 3),
        "deliveries_per_s": round(got / (end - begun), 1),
        "per_delivery": latencies(receipts.seconds),
        "to_last": latencies([receipts.last[number] - at for number, at in due.items() if number in receipts.last]),
        **_calls(sends),
        "disorder": disorder,
        "cpu": cpu_report(before, after, got),
    }


def _counts(run: Run, numbers: Sequence[int], got: int) -> dict[str, Any]:
    expected = len(numbers) * run.receipts.everyone
    return {
        "sends": len(numbers),
        "expected": expected,
        "delivered": got,
        "lost": expected - got,
        "short_sends": run.receipts.short(numbers),
    }


def _calls(sends: Sequence[Sent]) -> dict[str, Any]:
    return {
        "send_call": latencies([sent.after - sent.before for sent in sends]),
        "send_cpu_us": round(sum(sent.cpu_us for sent in sends) / len(sends), 1),
    }
