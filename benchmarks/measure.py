"""One measurement: start its processes, run the load kit beside them, take its report."""

import os
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drain import drain
from benchmarks.matrix import Measurement, Windows
from benchmarks.processes import Running, complaints, interpreter, run_interface, run_servers
from benchmarks.starting import run_kit
from benchmarks.subjects import SLOW, SUBJECTS

__all__ = ["Row", "measure"]


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
            with run_servers(measurement.broker, logs) as servers:
                result = _result(servers.of(measurement.subject), measurement, windows)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        return Row(
            measurement, repeat, result, complaints(logs), time.strftime("%Y-%m-%dT%H:%M:%S"), os.getloadavg()[0]
        )


def _result(running: Running, measurement: Measurement, windows: Windows) -> dict[str, Any]:
    if measurement.part in ("queue", "reliable"):
        return drain(running, measurement, windows.messages(measurement))
    with run_interface(running, measurement.subject, SUBJECTS[measurement.subject].children):
        return run_kit(running, [measurement.part, *_kit_arguments(measurement, windows, running.port)])


def _kit_arguments(measurement: Measurement, windows: Windows, port: int) -> list[str]:
    url, subject = f"ws://127.0.0.1:{port}", SUBJECTS[measurement.subject]
    size, duration = str(measurement.size), str(windows.duration)
    window = ["--conns", size, "--duration", duration]
    match measurement.part:
        case "echo":
            slow = ["--pause", "0.2", "--slow", "100"] if measurement.subject == SLOW else []
            return ["--url", url + subject.echo, *window, "--warmup", str(windows.warmup), *slow]
        case "http":
            return ["--url", f"http://127.0.0.1:{port}/hello", *window, "--warmup", str(windows.warmup)]
        case "group":
            sender = ["--sender", shlex.join([interpreter(measurement.subject), "-m", subject.sender])]
            sends = ["--sends", str(windows.sends[measurement.size]), "--settle", str(windows.settle)]
            return ["--url", url + subject.group, *window, *sends, *sender, "--join", subject.join]
        case _:
            rests = ["--hold", str(windows.hold), "--settle", str(windows.settle)]
            deflate = ["--deflate"] if measurement.subject.endswith("deflate") else []
            return ["--url", url + subject.echo, "--steps", size, *rests, *deflate]
