"""Modules that run beside what is measured and report one JSON object, and an end that leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from benchmarks.processes import ROOT, Running

__all__ = ["LIMIT", "end_in_order", "run_kit", "run_module"]

#: Seconds for one run, of which the longest takes about a minute.
LIMIT = 600


def end_in_order() -> None:
    """Let SIGINT and SIGTERM exit, which ends all that was started; a second one does not cut that short."""

    def leave(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, leave)


def run_module(running: Running, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a module and return its report, or {"error": …}."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **running.env},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        return {"error": f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"}
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def run_kit(running: Running, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the load kit against what is running, all of whose processes it names."""
    pids = ",".join(f"{role}={pid}" for role, pid in running.pids.items())
    return run_module(running, ["benchmarks.kit", *arguments, "--pids", pids])
