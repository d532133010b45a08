"""Numbers as text: the median of the repeats with the lowest and the highest, in tables of Markdown."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["cell", "cpu_split", "look_up", "markdown", "ratio_cell"]

_ROLES = ("interface", "worker", "broker", "redis", "sender")
#: Less than this, in microseconds, is not worth a word.
_NOTHING = 0.05


def look_up(result: Mapping[str, Any], path: str) -> float | None:
    """Return a number inside a report, by its dotted path with the positions in lists, or None."""
    value: Any = result
    for key in path.split("."):
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else None


def cell(results: Iterable[Mapping[str, Any]], path: str) -> str:
    """Return "median [lowest-highest]" of one number of some reports, or "-" if none has it."""
    return _cell([value for value in (look_up(result, path) for result in results) if value is not None])


def ratio_cell(pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], path: str) -> str:
    """Return the same of a number's ratio, taken within each pair of reports."""
    found = ((look_up(one, path), look_up(other, path)) for one, other in pairs)
    return _cell([one / other for one, other in found if one is not None and other])


def cpu_split(results: Sequence[Mapping[str, Any]], base: str = "cpu") -> str:
    """Return "interface 12 + worker 30": medians of the CPU per thing, by process."""
    parts = []
    for role in _ROLES:
        values = [look_up(result, f"{base}.procs.{role}.cpu_us_per") for result in results]
        known = [value for value in values if value is not None]
        if known and (median := statistics.median(known)) >= _NOTHING:
            parts.append(f"{role} {_number(median)}")
    return " + ".join(parts) or "-"


def markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table under its title, if it has one, or nothing without rows; columns are aligned for a terminal."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    above = [f"### {title}", ""] if title else []
    return "\n".join([*above, *lines, *(_line(row, widths) for row in rows), ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(text.ljust(width) for text, width in zip(cells, widths, strict=True))} |"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    median, lowest, highest = (_number(each) for each in (statistics.median(values), min(values), max(values)))
    return median if lowest == highest else f"{median} [{lowest}-{highest}]"


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"
