"""One measurement: start its processes, run the load kit beside them, take its report."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kit.procstat import difference, snapshot
from benchmarks.matrix import Measurement, Windows
from benchmarks.processes import ROOT, Running, complaints, run_interface, run_servers, run_worker
from tests.servers import Process, wait_until

__all__ = ["Row", "measure"]

#: Seconds for one run of the kit, of which the longest takes about a minute.
_LIMIT = 600


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one measurement.

    Args:
        measurement: what was measured.
        repeat: from 1.
        result: the report, or {"error": …}.
        complaints: lines of the logs that look like trouble.
        at: local time.
        load: the machine's load average over the last minute.
    """

    measurement: Measurement
    repeat: int
    result: dict[str, Any]
    complaints: list[str]
    at: str
    load: float


def measure(measurement: Measurement, windows: Windows, repeat: int) -> Row:
    """Run one measurement with fresh processes and empty servers; what fails is in the row."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        logs = Path(directory)
        try:
            with run_servers(measurement.broker, logs) as running:
                if measurement.part in ("queue", "reliable"):
                    result = _drain(running, measurement, windows.messages[measurement.size])
                else:
                    result = _load(running, measurement, windows)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        return Row(
            measurement, repeat, result, complaints(logs), time.strftime("%Y-%m-%dT%H:%M:%S"), os.getloadavg()[0]
        )


def _load(running: Running, measurement: Measurement, windows: Windows) -> dict[str, Any]:
    with run_interface(running, measurement.subject):
        arguments = _kit_arguments(measurement, windows, running.port)
        pids = ",".join(f"{role}={pid}" for role, pid in running.pids.items())
        report = _run(running, ["benchmarks.kit", measurement.part, *arguments, "--pids", pids])
    return report


def _kit_arguments(measurement: Measurement, windows: Windows, port: int) -> list[str]:
    url = f"ws://127.0.0.1:{port}"
    size, duration = str(measurement.size), str(windows.duration)
    window = ["--conns", size, "--duration", duration]
    match measurement.part:
        case "echo":
            return ["--url", f"{url}/echo", *window, "--warmup", str(windows.warmup)]
        case "http":
            return ["--url", f"http://127.0.0.1:{port}/hello", *window, "--warmup", str(windows.warmup)]
        case "group":
            sender = shlex.join([sys.executable, "-m", "benchmarks.project.sender"])
            sends = ["--sends", str(windows.sends[measurement.size]), "--settle", str(windows.settle)]
            return ["--url", f"{url}/group", *window, *sends, "--sender", sender]
        case _:
            steps = ",".join(map(str, windows.steps))
            rests = ["--hold", str(windows.hold), "--settle", str(windows.settle)]
            return ["--url", f"{url}/echo", "--steps", steps, *rests]


def _run(running: Running, arguments: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **running.env},
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    if done.returncode:
        return {"error": f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"}
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _drain(running: Running, measurement: Measurement, messages: int) -> dict[str, Any]:
    """Fill a queue, start a worker on it, and count from the first stamp to the last."""
    first, last = running.logs / "first", running.logs / "last"
    before = snapshot(running.pids)
    fill, app = _DRAINED[measurement.part, measurement.subject]
    size = [] if measurement.part == "reliable" else [str(measurement.size)]
    filled = _run(running, [*fill, str(messages), *size, str(first), str(last)])
    if "error" in filled:
        return filled
    cost = difference(before, snapshot(running.pids), messages)
    with run_worker(running, app) as worker:
        _wait_for(first, worker, 60)
        before = snapshot(running.pids)
        _wait_for(last, worker, _LIMIT)
        after = snapshot(running.pids)
    (begun, ran_before), (ended, ran) = (map(int, file.read_text().split()) for file in (first, last))
    cpu = difference(before, after, messages)
    cpu["server_cpu_us_per"] = round(sum(row["cpu_us_per"] for row in cpu["procs"].values()), 2)
    return {
        "mode": measurement.part,
        "batch": measurement.size,
        "messages": messages,
        # the first stamp is itself one of those that ran
        "ran": ran - ran_before - 1,
        "drain_per_s": round(messages / ((ended - begun) / 1e9), 1),
        "cpu": cpu,
        "publish_per_s": round(messages / filled["seconds"], 1),
        "publish_cpu_us": round(filled["cpu_s"] * 1e6 / messages, 2),
        "publish_server_cpu_us": round(sum(row["cpu_us_per"] for row in cost["procs"].values()), 2),
    }


#: What fills a queue and what empties it: the arguments of the one, the Celery app of the other.
_DRAINED = {
    ("queue", "channelcelery"): (["benchmarks.project.fill"], "benchmarks.project"),
    ("reliable", "channelcelery"): (["benchmarks.reliable.fill", "channelcelery"], "benchmarks.reliable.celery"),
    ("reliable", "task"): (["benchmarks.reliable.fill", "task"], "benchmarks.reliable.task"),
}


def _wait_for(stamp: Path, worker: Process, seconds: float) -> None:
    def is_there() -> bool:
        if worker.returncode is not None:
            raise AssertionError(f"the worker ended with {worker.returncode}:\n{worker.output()[-2000:]}")
        return stamp.exists()

    wait_until(is_there, timeout=seconds, what=f"the worker's stamp {stamp.name}", interval=0.005)
