"""`python -m benchmarks.growth`: measure how cost grows, write docs/performance/growth.json, draw the plots.

Leave the machine alone meanwhile. The plots need matplotlib: pip install 'channelcelery[plots]'.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import backlog, groups, plots, routes, scale, sockets, told
from benchmarks.growth.system import Point
from benchmarks.machine import describe_commit, describe_machine, describe_versions, raise_file_limit
from benchmarks.page import write_block
from benchmarks.processes import ROOT
from benchmarks.starting import end_in_order

FOLDER = ROOT / "docs" / "performance"

#: What is measured, and about how many seconds it takes on two idle cores.
PARTS: Mapping[str, tuple[Callable[..., list[Point]], int]] = {
    "members": (groups.members, 50),
    "nodes": (groups.nodes, 50),
    "groups": (groups.groups, 70),
    "memory": (sockets.memory, 50),
    "echo": (sockets.echo, 90),
    "routes": (routes.routes, 30),
    "backlog": (backlog.backlog, 200),
    "scale": (scale.scale, 120),
}


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    return parts


def measure(parts: Sequence[str], *, quick: bool, folder: Path | None) -> dict[str, list[Point]]:
    """Return the points of some parts, each written to a folder as it is done; what fails is told and left out."""
    found: dict[str, list[Point]] = {}
    for name in parts:
        begun = time.monotonic()
        try:
            found[name] = PARTS[name][0](quick=quick)
        except (AssertionError, KeyError, OSError, RuntimeError, ValueError) as error:
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        else:
            if folder is not None:
                write(folder, {name: found[name]})
            print(f"{name} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write and draw; the exit status is 1 if a part failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and small points: does it work at all?")
    parser.add_argument("--only", type=_parts, default=tuple(PARTS), metavar="PARTS", help=f"of {','.join(PARTS)}")
    parser.add_argument("--folder", type=Path, help="where to write; with --quick nowhere by default")
    options = parser.parse_args(arguments)
    raise_file_limit()
    end_in_order()
    minutes = sum(PARTS[name][1] for name in options.only) / (180 if options.quick else 60)
    print(f"{len(options.only)} curves, about {minutes:.0f} minutes on two idle cores", file=sys.stderr, flush=True)
    folder = options.folder or (None if options.quick else FOLDER)
    found = measure(options.only, quick=options.quick, folder=folder)
    if folder is None:
        print(json.dumps(found))
    elif found:
        curves = write(folder, {})
        plots.main([str(folder)])
        if folder == FOLDER:
            write_block("growth", told.ends(curves))
            write_block("million", told.million(curves))
    return int(len(found) < len(options.only))


def write(folder: Path, found: Mapping[str, list[Point]]) -> dict[str, Any]:
    """Write the points beside those of parts that were not measured now, and return all."""
    file = folder / "growth.json"
    written: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    now = {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": describe_commit(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "load": round(os.getloadavg()[2], 1),
    }
    written |= {name: {"measured": now, "points": points} for name, points in found.items()}
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(name)}: {_compact(part)}" for name, part in sorted(written.items())]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return written


def _compact(part: Mapping[str, object]) -> str:
    points = ",\n  ".join(json.dumps(point) for point in part["points"])  # type: ignore[attr-defined]
    return f'{{"measured": {json.dumps(part["measured"])}, "points": [\n  {points}\n]}}'


if __name__ == "__main__":
    sys.exit(main())
