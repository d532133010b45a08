"""wrk, with the server's CPU beside it."""

import re
import subprocess
from argparse import Namespace
from typing import Any

from benchmarks.kit.procstat import difference, parse_pids, snapshot

__all__ = ["http"]

_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


async def http(options: Namespace) -> dict[str, Any]:
    """Run wrk twice, the first time to warm up, and return its report."""
    pids = parse_pids(options.pids)
    if options.warmup:
        _run_wrk(options.url, options.conns, options.warmup)
    before = snapshot(pids)
    report = _run_wrk(options.url, options.conns, options.duration)
    cpu = difference(before, snapshot(pids), report["requests"] or None)
    if report["requests"]:
        cpu["server_cpu_us_per"] = round(sum(row["cpu_us_per"] for row in cpu["procs"].values()), 2)
    return {"mode": "http", "conns": options.conns, **report, "cpu": cpu}


def _run_wrk(url: str, conns: int, seconds: float) -> dict[str, Any]:
    command = ["wrk", "--latency", "-t1", f"-c{conns}", f"-d{seconds:g}s", "--timeout", "10s", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    percentiles = {f"p{percent}_ms": round(float(value) * _MILLISECONDS[unit], 3) for percent, value, unit in found}
    return percentiles | {
        "requests": int(_search(r"(\d+) requests in", text, "0")),
        "req_per_s": float(_search(r"Requests/sec:\s+([\d.]+)", text, "0")),
        "bad_status": int(_search(r"Non-2xx or 3xx responses: (\d+)", text, "0")),
        "socket_errors": _search(r"Socket errors: (.*)", text, ""),
    }


def _search(pattern: str, text: str, default: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else default
