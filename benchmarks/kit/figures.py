"""Percentiles and CPU per thing, as all modes of the kit report them."""

import os
from collections.abc import Sequence
from typing import Any

from benchmarks.kit.procstat import Snapshot, difference, parse_pids

__all__ = ["cpu_report", "latencies", "pids_with_client"]

_CLIENT = "loadclient"


def latencies(seconds: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p99, the largest and the mean, in milliseconds; None where nothing was measured."""
    if not seconds:
        return dict.fromkeys(("p50_ms", "p99_ms", "max_ms", "mean_ms"))
    ordered = sorted(seconds)
    return {
        "p50_ms": _ms(_percentile(ordered, 50)),
        "p99_ms": _ms(_percentile(ordered, 99)),
        "max_ms": _ms(ordered[-1]),
        "mean_ms": _ms(sum(ordered) / len(ordered)),
    }


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def pids_with_client(text: str) -> dict[str, int]:
    """Return the processes of `--pids` and this one, which is the load client."""
    return parse_pids(text) | {_CLIENT: os.getpid()}


def cpu_report(before: Snapshot, after: Snapshot, per: int) -> dict[str, Any]:
    """Return the CPU of a window, the client's apart from that of the server's processes.

    Args:
        before: taken at the window's beginning.
        after: taken at its end.
        per: the messages of the window; 0 leaves the division out.
    """
    report = difference(before, after, per or None)
    report["client"] = report["procs"].pop(_CLIENT)
    if per:
        report["server_cpu_us_per"] = round(sum(row["cpu_us_per"] for row in report["procs"].values()), 2)
    return report
