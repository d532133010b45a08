"""A queue that is filled, and then emptied by a worker: how fast, and at what cost."""

from pathlib import Path
from typing import Any

from benchmarks.kit.procstat import difference, snapshot
from benchmarks.matrix import Measurement
from benchmarks.processes import Running, run_worker
from benchmarks.starting import LIMIT, run_module
from benchmarks.subjects import PRODUCT
from tests.servers import Process, wait_until

__all__ = ["drain"]


def drain(running: Running, measurement: Measurement, messages: int) -> dict[str, Any]:
    """Fill a queue, start a worker on it, and count from the first stamp to the last."""
    first, last = running.logs / "first", running.logs / "last"
    before = snapshot(running.pids)
    filled = run_module(running, [*_fill(measurement, messages), str(first), str(last)])
    if "error" in filled:
        return filled
    cost = difference(before, snapshot(running.pids), messages)
    # as Celery has it by default: a line for each task would be a good part of its cost
    with run_worker(running, measurement.subject, level="warning") as worker:
        _wait_for(first, worker, 60)
        before = snapshot(running.pids)
        _wait_for(last, worker, LIMIT)
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


def _fill(measurement: Measurement, messages: int) -> list[str]:
    if measurement.subject != PRODUCT:
        sender = "channelcelery" if measurement.subject.startswith(PRODUCT) else "task"
        return ["benchmarks.reliable.fill", sender, str(messages)]
    return ["benchmarks.project.fill", str(messages), str(measurement.size)]


def _wait_for(file: Path, worker: Process, seconds: float) -> None:
    def is_there() -> bool:
        if worker.returncode is not None:
            raise AssertionError(f"the worker ended with {worker.returncode}:\n{worker.output()[-2000:]}")
        return file.exists()

    wait_until(is_there, timeout=seconds, what=f"the worker's stamp {file.name}", interval=0.005)
