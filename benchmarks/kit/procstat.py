"""CPU and memory of other processes, read from Linux's own counters.

A name stands for a process and all its living descendants, so that the children of a pre-forking worker are counted.
CPU is user and system time of all threads, dead ones included, in nanoseconds from the process's CPU clock: the number
of /proc/PID/stat without its steps of 10 ms. A descendant that both starts and ends between two snapshots is not seen.
"""

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Snapshot", "difference", "parse_pids", "snapshot"]

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one named process and its descendants have used so far.

    Args:
        cpu: nanoseconds of each, by process id.
        rss_kib: resident memory of all together; shared pages count for each.
        threads: of all together.
        alive: whether the named process itself still runs.
    """

    cpu: Mapping[int, int]
    rss_kib: int
    threads: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All named processes at one instant.

    Args:
        at: a monotonic time in seconds.
        busy: seconds that all CPUs worked since the machine started.
        stolen: seconds that the hypervisor gave to others.
        usages: by name.
    """

    at: float
    busy: float
    stolen: float
    usages: Mapping[str, Usage]


def parse_pids(text: str) -> dict[str, int]:
    """Return {'a': 1, 'b': 2} for 'a=1,b=2'."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: int(pid) for name, _, pid in pairs}


def snapshot(pids: Mapping[str, int]) -> Snapshot:
    """Look at some processes.

    Args:
        pids: name -> process id.
    """
    named = set(pids.values())
    usages = {}
    for name, pid in pids.items():
        members = _tree(pid, named)
        usages[name] = Usage(
            {member: _cpu_ns(member) for member in members},
            sum(map(_rss_kib, members)),
            sum(map(_threads, members)),
            Path(f"/proc/{pid}/stat").exists(),
        )
    busy, stolen = _machine()
    return Snapshot(time.monotonic(), busy, stolen, usages)


def difference(before: Snapshot, after: Snapshot, per: float | None = None) -> dict[str, Any]:
    """Return what was used between two snapshots.

    Args:
        before: the earlier one.
        after: the later one.
        per: also divide the CPU by this number of things.
    """
    wall = after.at - before.at
    used = {name: _used_ns(before.usages[name], usage) for name, usage in after.usages.items()}
    procs = {name: _row(used[name], usage, wall, per) for name, usage in after.usages.items()}
    total = sum(used.values())
    return {
        "wall_s": round(wall, 3),
        "procs": procs,
        # how noisy it was: CPU of everything not named, and CPU that the hypervisor gave to others
        "unnamed_cpu_s": round(after.busy - before.busy - total / 1e9, 2),
        "steal_s": round(after.stolen - before.stolen, 2),
    }


def _used_ns(before: Usage, after: Usage) -> int:
    return max(sum(ns - before.cpu.get(pid, 0) for pid, ns in after.cpu.items()), 0)


def _row(used_ns: int, usage: Usage, wall: float, per: float | None) -> dict[str, Any]:
    row = {
        "cpu_s": round(used_ns / 1e9, 4),
        "cpu_pct": round(used_ns / 1e7 / wall, 1) if wall else 0.0,
        "rss_kib": usage.rss_kib,
        "threads": usage.threads,
        "alive": usage.alive,
    }
    if per:
        row["cpu_us_per"] = round(used_ns / 1e3 / per, 2)
    return row


def _tree(pid: int, named: Collection[int]) -> list[int]:
    """Return a process and its living descendants, less those that bear a name themselves."""
    seen, todo = [], [pid]
    while todo:
        current = todo.pop()
        if current in named and current != pid:
            continue
        seen.append(current)
        for children in Path(f"/proc/{current}/task").glob("*/children"):
            todo += map(int, _read(children).split())
    return seen


def _cpu_ns(pid: int) -> int:
    try:
        # Linux's id of another process's CPU clock: (~pid << 3) | CPUCLOCK_SCHED
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // _TICK if fields else 0


def _rss_kib(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE // 1024 if fields else 0


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").glob("*")))


def _machine() -> tuple[float, float]:
    """Return (busy, stolen) seconds of all CPUs since the machine started."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, _read(Path("/proc/stat")).split()[1:9])
    return (user + nice + system + irq + softirq) / _TICK, steal / _TICK


def _read(file: Path) -> str:
    """Return a file of /proc, or nothing if its process has ended meanwhile."""
    try:
        return file.read_text()
    except OSError:
        return ""
