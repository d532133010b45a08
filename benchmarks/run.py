"""`python -m benchmarks.run`: measure, print the tables, and write benchmarks/RESULTS.md after a whole run.

The repeats are the outer loop, so that a noisy quarter of an hour does not fall on one measurement alone. Every
measurement has processes of its own and empty servers. Leave the machine alone meanwhile.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.machine import describe_commit, describe_machine, describe_others, describe_versions, raise_file_limit
from benchmarks.matrix import PARTS, Measurement, Windows, matrix, seconds, windows
from benchmarks.measure import Row, measure
from benchmarks.oddities import oddities
from benchmarks.others.environment import prepare
from benchmarks.page import README, write_block
from benchmarks.peers import NOTE
from benchmarks.processes import ROOT
from benchmarks.sections import sections
from benchmarks.starting import end_in_order
from benchmarks.targets import goals, in_short

RESULTS = ROOT / "benchmarks" / "RESULTS.md"


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    return parts


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short windows, one repeat: does it work at all?")
    parser.add_argument("--repeats", type=int, help="how often everything is measured (3; with --quick 1)")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--output", type=Path, help="where to write the tables (after a whole run: RESULTS.md)")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (1 if options.quick else 3)
    if options.output is None and not options.quick and options.only == PARTS:
        options.output = RESULTS
    return options


def _measure_all(measurements: Sequence[Measurement], chosen: Windows, repeats: int, raw: Path) -> list[Row]:
    rows = []
    with raw.open("a") as lines:
        for repeat in range(1, repeats + 1):
            for measurement in measurements:
                begun = time.monotonic()
                row = measure(measurement, chosen, repeat)
                rows.append(row)
                print(json.dumps(asdict(row)), file=lines, flush=True)
                took = time.monotonic() - begun
                print(f"{row.at[11:]} {repeat}/{repeats} {measurement} ({took:.0f} s)", file=sys.stderr, flush=True)
                for odd in oddities([row]):
                    print(f"    {odd}", file=sys.stderr, flush=True)
    return rows


def _document(rows: Sequence[Row], options: argparse.Namespace) -> str:
    odd = oddities(rows)
    length = "short windows (--quick)" if options.quick else "whole windows"
    loads = [row.load for row in rows]
    return "\n".join(
        [
            "# Results",
            "",
            f"Written by `make bench` on {time.strftime('%Y-%m-%d %H:%M %Z')}; `README.md` here says how to read it.",
            "",
            f"- Measured: commit {describe_commit()}; {options.repeats} repeats, {length}.",
            "- Cells: median [lowest-highest] of the repeats.",
            f"- Machine: {describe_machine()}; client, servers and broker share it; load average "
            f"{min(loads):.1f} to {max(loads):.1f}.",
            f"- Versions: {describe_versions()}.",
            f"- Versions of the other projects that ran beside: {describe_others()}.",
            "- Rows in *italics* are other projects, recorded once under the same load kit: see below.",
            "",
            sections(rows),
            "### Oddities",
            "",
            *([f"- {text}" for text in odd] or ["None: no message lost, wrong or stalled, no complaint in a log."]),
            "",
            "### The other projects",
            "",
            NOTE,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; the exit status is 1 if a measurement failed."""
    options = _options(arguments)
    raise_file_limit()
    end_in_order()
    chosen = windows(quick=options.quick)
    if failed := prepare():
        print(f"The other projects are left out, and their recorded figures stand in: {failed}", file=sys.stderr)
    measurements = matrix(options.only, chosen, others=not failed)
    if not shutil.which("wrk"):
        print("HTTP is left out: wrk is not installed (apt-get install wrk)", file=sys.stderr)
        measurements = [measurement for measurement in measurements if measurement.part != "http"]
    raw = Path(tempfile.mkdtemp(prefix="bench-")) / "rows.jsonl"
    minutes = options.repeats * sum(seconds(each, chosen) for each in measurements) / 60
    print(
        f"{len(measurements) * options.repeats} measurements, about {minutes:.0f} minutes on two idle cores; "
        f"raw figures in {raw}",
        file=sys.stderr,
        flush=True,
    )
    try:
        rows = _measure_all(measurements, chosen, options.repeats, raw)
    except (
        pytest.skip.Exception,
        pytest.fail.Exception,
    ) as missing:  # the tests' servers skip a test where a program is not installed
        raise SystemExit(str(missing)) from missing
    document = _document(rows, options)
    print(document)
    if options.output:
        options.output.write_text(document)
        print(f"written to {options.output}", file=sys.stderr)
    if options.output == RESULTS:
        write_block("goals", f"Measured {time.strftime('%Y-%m-%d')}, commit {describe_commit()}.\n\n{goals(rows)}")
        write_block("figures", in_short(rows), README)
    return int(any("error" in row.result for row in rows))


if __name__ == "__main__":
    sys.exit(main())
