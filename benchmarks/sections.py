"""Rows of measurements -> the tables, one for each part, the peers' figures below our own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.matrix import Measurement
from benchmarks.measure import Row
from benchmarks.peers import PEERS, stands_for
from benchmarks.ratios import label, ratios
from benchmarks.tables import cell, cpu_split, look_up, markdown
from benchmarks.targets import targets

__all__ = ["sections"]

Reports = Mapping[Measurement, Sequence[Mapping[str, Any]]]


def sections(rows: Sequence[Row]) -> str:
    """Return all tables for which there are rows."""
    reports: dict[Measurement, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "error" not in row.result:
            reports.setdefault(row.measurement, []).append(row.result)
    found = [targets(rows)]
    for part, (title, head, make) in _TABLES.items():
        own = [line for measurement in reports if measurement.part == part for line in make(measurement, reports)]
        found += [markdown(title, head, [*own, *_recorded(part, own, reports)] if own else []), ratios(rows, part)]
    found.append(_noise(rows))
    return "\n".join(text for text in found if text)


def _recorded(part: str, own: Sequence[Sequence[str]], reports: Reports) -> list[Sequence[str]]:
    """Return the recorded rows of what was not measured now, at sizes that were."""
    if part in ("queue", "http"):
        subjects = {measurement.subject for measurement in reports if measurement.part == part}
        return [line for line in PEERS[part] if stands_for(line[0]) not in subjects]
    measured = {(each.subject, f"{each.size:,}") for each in reports if each.part == part}
    sizes = {line[1] for line in own}
    return [line for line in PEERS.get(part, ()) if line[1] in sizes and (stands_for(line[0]), line[1]) not in measured]


def _echo(measurement: Measurement, reports: Reports) -> list[list[str]]:
    found = reports[measurement]
    paths = ("msgs_per_s", "latency.p50_ms", "latency.p99_ms", "cpu.server_cpu_us_per")
    numbers = [cell(found, path) for path in paths]
    return [[label(measurement), f"{measurement.size:,}", *numbers, cpu_split(found), str(len(found))]]


def _group(measurement: Measurement, reports: Reports) -> list[list[str]]:
    lines = []
    for way in ("one_by_one", "paced"):
        found = [report[way] for report in reports[measurement]]
        rate = "one by one" if way == "one_by_one" else f"paced, {found[0]['rate_per_s']:g}/s"
        paths = ("send_call.p50_ms", "to_last.p50_ms", "to_last.p99_ms", "deliveries_per_s", "cpu.server_cpu_us_per")
        numbers = [cell(found, path) for path in paths]
        lost = f"{sum(part['lost'] for part in found):,} of {sum(part['expected'] for part in found):,}"
        lines.append(
            [label(measurement), f"{measurement.size:,}", rate, *numbers, cpu_split(found), lost, str(len(found))]
        )
    return lines


def _idle(measurement: Measurement, reports: Reports) -> list[list[str]]:
    lines = []
    for wanted in dict.fromkeys(step["wanted"] for report in reports[measurement] for step in report["steps"][1:]):
        found = [step for report in reports[measurement] for step in report["steps"] if step.get("wanted") == wanted]
        paths = (
            "kib_per_conn.interface",
            "connects_per_s",
            "handshake.p50_ms",
            "handshake.p99_ms",
            "connect_cpu.server_cpu_us_per",
        )
        numbers = [cell(found, path) for path in paths]
        split, idle = cpu_split(found, "connect_cpu"), cell(found, "idle_cpu_pct.interface")
        lines.append([label(measurement), f"{wanted:,}", *numbers, split, idle, str(len(found))])
    return lines


def _queue(measurement: Measurement, reports: Reports) -> list[list[str]]:
    found = reports[measurement]
    rate, cpu = cell(found, "drain_per_s"), cell(found, "cpu.server_cpu_us_per")
    publish = [cell(found, path) for path in ("publish_per_s", "publish_cpu_us")]
    return [[label(measurement), str(measurement.size), rate, cpu, cpu_split(found), *publish, str(len(found))]]


def _http(measurement: Measurement, reports: Reports) -> list[list[str]]:
    found = reports[measurement]
    numbers = [cell(found, path) for path in ("req_per_s", "p50_ms", "p99_ms", "cpu.server_cpu_us_per")]
    return [[label(measurement), *numbers, cpu_split(found), str(len(found))]]


def _noise(rows: Sequence[Row]) -> str:
    """Show what else the machine did, in percent of one core: a run is as good as this is low."""
    windows: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        for window in _windows(row.result):
            wall = look_up(window, "wall_s") or 1
            shares = {key: 100 * window[f"{key}_cpu_s" if key == "unnamed" else f"{key}_s"] / wall for key in _NOISE}
            windows.setdefault(row.measurement.part, []).append(shares)
    lines = [[part, *(cell(found, key) for key in _NOISE), str(len(found))] for part, found in windows.items() if found]
    head = ["measured", "other processes %", "stolen %", "windows"]
    return markdown("Noise: CPU that went elsewhere, in percent of one core", head, lines)


_NOISE = ("unnamed", "steal")


def _windows(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        here = [value] if "unnamed_cpu_s" in value else []
        return here + [window for inside in value.values() for window in _windows(inside)]
    if isinstance(value, list):
        return [window for inside in value for window in _windows(inside)]
    return []


_CPU = ("of which (medians)", "runs")
_Make = Callable[[Measurement, Reports], list[list[str]]]
_TABLES: Mapping[str, tuple[str, Sequence[str], _Make]] = {
    "echo": (
        "Echo, closed loop, 64 bytes",
        ("", "sockets", "messages/s", "p50 ms", "p99 ms", "CPU us/message", *_CPU),
        _echo,
    ),
    "group": (
        "Group sends",
        ("", "sockets", "sends", "send call p50 ms", "to last p50 ms", "to last p99 ms", "deliveries/s",
         "CPU us/delivery", "of which (medians)", "lost", "runs"),
        _group,
    ),
    "idle": (
        "Connecting, and idle sockets",
        ("", "sockets", "KiB/socket", "connects/s", "handshake p50 ms", "p99 ms", "CPU us/connect",
         "of which (medians)", "interface idle CPU %", "runs"),
        _idle,
    ),
    "queue": (
        "A full queue through one worker, -P prefork -c 1, a consumer that does nothing",
        ("", "sent together", "messages/s", "CPU us/message", "of which (medians)", "publish/s",
         "publisher's CPU us/message", "runs"),
        _queue,
    ),
    "reliable": (
        "A full queue of reliable messages through one worker, -P prefork -c 1, and one of acks_late tasks",
        ("", "sent together", "messages/s", "CPU us/message", "of which (medians)", "publish/s",
         "publisher's CPU us/message", "runs"),
        _queue,
    ),
    "http": (
        "HTTP, wrk -t1 -c32, a page of 13 bytes",
        ("", "requests/s", "p50 ms", "p99 ms", "CPU us/request", *_CPU),
        _http,
    ),
}  # fmt: skip
