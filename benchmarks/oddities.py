"""What should not have happened in a measurement: a figure beside lost messages is no figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.measure import Row

__all__ = ["oddities"]

_COUNTS = ("wrong_payload", "stalled", "closed_early", "disorder", "strange", "bad_status")


def oddities(rows: Sequence[Row]) -> list[str]:
    """Return one line for each thing that is wrong: lost or wrong messages, dead processes, complaints in logs."""
    return [f"{row.measurement}, repeat {row.repeat}: {text}" for row in rows for text in _of(row)]


def _of(row: Row) -> Iterator[str]:
    result = row.result
    if "error" in result:
        yield f"failed: {result['error']}"
    for key in _COUNTS:
        if result.get(key):
            yield f"{key.replace('_', ' ')}: {result[key]}"
    for key in ("connect_errors", "socket_errors"):
        if result.get(key):
            yield f"{key.replace('_', ' ')}: {result[key]}"
    if result.get("connected", 0) < result.get("conns", 0) and "connected" in result:
        yield f"only {result['connected']} of {result['conns']} sockets opened"
    for way in ("one_by_one", "paced"):
        if lost := result.get(way, {}).get("lost"):
            yield f"{way.replace('_', ' ')}: {lost} of {result[way]['expected']} receipts lost"
    for step in result.get("steps", []):
        if step.get("errors") or step["conns"] < step.get("wanted", 0):
            yield f"{step['conns']} of {step['wanted']} sockets opened; errors: {step['errors']}"
    if "ran" in result and result["ran"] != result["messages"]:
        yield f"{result['ran']} of {result['messages']} messages ran"
    for role in _dead(result):
        yield f"the {role} had ended"
    yield from row.complaints


def _dead(value: Any) -> list[str]:
    """Return the roles of processes that were not alive at the end of a window."""
    if isinstance(value, list):
        return [role for inside in value for role in _dead(inside)]
    if not isinstance(value, Mapping):
        return []
    here = [role for role, row in value.get("procs", {}).items() if not row["alive"]]
    return here + [role for key, inside in value.items() if key != "procs" for role in _dead(inside)]
