"""`python -m benchmarks.growth.plots [FOLDER]`: draw the curves of growth.json as SVG files beside it.

Their background is transparent and their colours are of middle brightness: they are read on light pages and dark ones.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.system import Point
from benchmarks.processes import ROOT

__all__ = ["draw", "main", "plotted"]

_GRAY = "#767676"
_COLOURS = ("#3b8132", "#2b7bb9", "#c26a17", "#9061c2", "#b5495b", "#767676")
_STYLE = {
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": _GRAY,
    "axes.titlecolor": _GRAY,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (6.4, 3.4),
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.alpha": 0.3,
    "grid.color": _GRAY,
    "legend.frameon": False,
    "legend.labelcolor": _GRAY,
    "lines.linewidth": 2,
    "lines.marker": "o",
    "lines.markersize": 4,
    "savefig.transparent": True,
    # text stays text, and the same points make the same file
    "svg.fonttype": "none",
    "svg.hashsalt": "channelcelery",
    "text.color": _GRAY,
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
}
_BROKERS = {"rabbitmq": "RabbitMQ", "redis": "Redis"}


def draw(part: str, points: Sequence[Point], file: Path) -> None:
    """Draw one curve.

    Args:
        part: a part of the measurement.
        points: what it found.
        file: the SVG to write.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots()
        axes.set_prop_cycle(color=_COLOURS)
        _DRAWN[part](axes, points)
        axes.grid(visible=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)


def _lines(axes: Any, points: Sequence[Point], x: str, ys: Mapping[str, str]) -> None:
    for name, path in ys.items():
        key, _, inner = path.partition(".")
        values = [point[key][inner] if inner else point[key] for point in points]
        axes.plot([point[x] for point in points], values, label=name)


def _name(axes: Any, x: str, y: str, scale: str = "linear") -> None:
    axes.set(xlabel=x, ylabel=y, xscale=scale, yscale=scale)
    if scale == "linear":
        axes.set_ylim(bottom=0)
    else:
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")


def _members(axes: Any, points: Sequence[Point]) -> None:
    _lines(axes, points, "members", {"send call, p50": "send_call_ms", "to the last receipt, p50": "to_last_ms"})
    _name(axes, "members of the group, on one interface", "ms", "log")


def _nodes(axes: Any, points: Sequence[Point]) -> None:
    of_cpu = {"CPU of Redis": "cpu_us_per_send.redis", "CPU of the sender": "cpu_us_per_send.sender"}
    _lines(axes, points, "nodes", of_cpu)
    axes.plot(
        [point["nodes"] for point in points], [1e3 * point["send_call_ms"] for point in points], label="send call, p50"
    )
    _name(axes, "interface processes with ten members each", "us")


def _groups(axes: Any, points: Sequence[Point]) -> None:
    _lines(axes, points, "groups", {"send call, p50": "send_call_ms", "to the last of 100, p50": "to_last_ms"})
    _name(axes, "other groups that the members are in", "ms")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _memory(axes: Any, points: Sequence[Point]) -> None:
    _lines(axes, points, "sockets", {"": "interface_mib"})
    _name(axes, "idle sockets", "MiB of the interface process")
    axes.get_lines()[0].set_label("_")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _echo(axes: Any, points: Sequence[Point]) -> None:
    for broker, name in _BROKERS.items():
        own = [point for point in points if point["broker"] == broker]
        axes.plot([point["sockets"] for point in own], [sum(point["cpu_us"].values()) for point in own], label=name)
    _name(axes, "sockets, each of which waits for its echo", "us of CPU an echo, all processes", "log")


def _routes(axes: Any, points: Sequence[Point]) -> None:
    of_routes = {"each for a channel of its own": "channels_us", "all for one channel, by path": "paths_us"}
    _lines(axes, points, "routes", of_routes)
    _name(axes, "routes", "us of CPU to find the consumer", "log")


def _backlog(axes: Any, points: Sequence[Point]) -> None:
    for point in points:
        seconds, worker, holder = zip(*point["memory"], strict=True)
        name = _BROKERS[point["broker"]]
        (line,) = axes.plot(seconds, worker, label=f"worker on {name}", marker="")
        axes.plot(seconds, holder, label=name, marker="", linestyle=":", color=line.get_color())
    _name(axes, f"seconds of draining {points[0]['messages']:,} messages", "MiB")


def _scale(axes: Any, points: Sequence[Point]) -> None:
    names = [_shape(point) for point in points]
    left = [0.0] * len(points)
    for role in ("interface", "worker", "broker", "redis", "client"):
        widths = [point["cores"].get(role, 0.0) for point in points]
        axes.barh(names, widths, left=left, label="load client" if role == "client" else role)
        left = [one + other for one, other in zip(left, widths, strict=True)]
    for name, end, point in zip(names, left, points, strict=True):
        axes.text(end + 0.02, name, f"{point['messages_per_s']:,.0f}/s", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="cores in use", xlim=(0, 2.3 * max(left)))


def _shape(point: Point) -> str:
    processes = f" of {point['children']} processes" if point["children"] > 1 else ""
    interfaces, workers = (
        f"{count} {what}{'s' if count > 1 else ''}"
        for count, what in ((point["interfaces"], "interface"), (point["workers"], "worker"))
    )
    return f"{interfaces}, {workers}{processes}"


_DRAWN: Mapping[str, Callable[[Any, Sequence[Point]], None]] = {
    "members": _members,
    "nodes": _nodes,
    "groups": _groups,
    "memory": _memory,
    "echo": _echo,
    "routes": _routes,
    "backlog": _backlog,
    "scale": _scale,
}


def plotted() -> set[str]:
    """Return the curves that can be drawn."""
    return set(_DRAWN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all curves that there are; the exit status is 1 without matplotlib."""
    given = sys.argv[1:] if arguments is None else arguments
    folder = Path(given[0]) if given else ROOT / "docs" / "performance"
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("The plots are not drawn: pip install 'channelcelery[plots]'", file=sys.stderr)
        return 1
    for part, measured in json.loads((folder / "growth.json").read_text()).items():
        draw(part, measured["points"], folder / f"{part}.svg")
        print(f"written to {folder / part}.svg", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
