"""Idle sockets: opened in steps and held, with the server's memory at each step."""

import asyncio
import time
from argparse import Namespace
from typing import Any

from benchmarks.kit.figures import cpu_report, latencies, pids_with_client
from benchmarks.kit.procstat import Snapshot, snapshot
from benchmarks.kit.websocket import WebSocket, connect_many

__all__ = ["idle"]

#: As browsers offer it.
_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


async def idle(options: Namespace) -> dict[str, Any]:
    """Run all steps and return their reports; it ends early if not all sockets of a step could be opened."""
    pids = pids_with_client(options.pids)
    sockets: list[WebSocket] = []
    closed: list[WebSocket] = []
    empty = _rss(snapshot(pids))
    steps: list[dict[str, Any]] = [{"conns": 0, "rss_kib": empty}]
    for wanted in map(int, options.steps.split(",")):
        steps.append(await _step(options, wanted, sockets, closed, pids, empty))
        if len(sockets) < wanted:
            break
    for socket in sockets:
        socket.close()
    await asyncio.sleep(0.5)
    return {"mode": "idle", "steps": steps, "closed_early": len(closed)}


async def _step(
    options: Namespace,
    wanted: int,
    sockets: list[WebSocket],
    closed: list[WebSocket],
    pids: dict[str, int],
    empty: dict[str, int],
) -> dict[str, Any]:
    before, begun = snapshot(pids), time.monotonic()
    missing = wanted - len(sockets)
    connected = await connect_many(
        options.url,
        missing,
        options.connect_concurrency,
        _ignore,
        closed.append,
        options.timeout,
        headers=_DEFLATE if options.deflate else b"",
    )
    wall = time.monotonic() - begun
    after = snapshot(pids)
    sockets += connected.sockets
    await asyncio.sleep(options.settle)
    rest = snapshot(pids)
    await asyncio.sleep(options.hold)
    end = snapshot(pids)
    rss, up = _rss(end), sum(socket.is_open for socket in sockets)
    return {
        "conns": up,
        "wanted": wanted,
        "rss_kib": rss,
        "connects_per_s": round(len(connected.sockets) / wall, 1),
        "handshake": latencies(connected.seconds),
        "errors": connected.errors,
        "connect_cpu": cpu_report(before, after, len(connected.sockets)),
        "kib_per_conn": {name: round((rss[name] - empty[name]) / up, 2) if up else None for name in rss},
        "idle_cpu_pct": {name: row["cpu_pct"] for name, row in cpu_report(rest, end, 0)["procs"].items()},
    }


def _ignore(socket: WebSocket, payload: bytes) -> None:
    return None


def _rss(taken: Snapshot) -> dict[str, int]:
    return {name: usage.rss_kib for name, usage in taken.usages.items() if name != "loadclient"}
