"""Which test shows which behaviour of Channels 1.x: reads the numbers in the tests and writes the table.

    python -m tests.items        writes docs/channels-1-tests.md

A test names what it shows in its docstring, in a comment of its own, or in the docstring of its class: "item 119",
"items 118 to 121", "items 24 and 28", "defect 3". The docstring of a module says what the module is about, and counts
for nothing.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

__all__ = [
    "ITEMS",
    "ON_THE_WIRE",
    "TABLE",
    "Named",
    "excepted",
    "listed",
    "named",
    "numbers",
    "plays_the_worker",
    "table",
]

ROOT = Path(__file__).resolve().parent.parent
ITEMS = ROOT / "docs" / "channels-1-items.md"
MOVING = ROOT / "docs" / "channels-1.md"
TABLE = ROOT / "docs" / "channels-1-tests.md"


def _keys(*ranges: tuple[int, int]) -> frozenset[str]:
    return frozenset(str(number) for first, last in ranges for number in range(first, last + 1))


#: What clients can see: shown through a real interface and a real worker, on both brokers. Item 102 is about messages
#: that no interface writes.
ON_THE_WIRE = _keys((54, 63), (90, 101), (103, 130))

_STAND_IN = re.compile(r"^from tests\.integration\.interfaces import .*\b(StandIn|running)\b", re.MULTILINE)
_NAMED = re.compile(r"\b(items?|defects?)\s+(\d+(?:(?:,\s+and|,|\s+and|\s+to)\s+\d+)*)", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """A test that names items.

    Args:
        module: its file, relative to the root.
        test: its name, with that of its class.
        items: the keys that it names, such as "119" or "Y3".
    """

    module: str
    test: str
    items: frozenset[str]


def numbers(text: str) -> set[str]:
    """Return the keys of the items and defects that a text names."""
    found: set[str] = set()
    for match in _NAMED.finditer(re.sub(r"\s*#\s*|\s+", " ", text)):
        mark = "Y" if match[1].lower().startswith("d") else ""
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", match[2]):
            found |= {f"{mark}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def listed() -> dict[str, tuple[str, str]]:
    """Return the section of each item and its first words: key -> (heading, words), in order."""
    found: dict[str, tuple[str, str]] = {}
    heading = ""
    for line in ITEMS.read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif match := re.match(r"(\d+)\. (.*)", line):
            words = shorten(re.sub(r"[`|*\[\]<>]", "", match[2]), 60, placeholder=" …")
            found[("Y" if heading.startswith("Defects") else "") + match[1]] = heading, words
    return found


def excepted() -> dict[str, str]:
    """Return the items that are not as they were, with the reason that the page on moving gives."""
    below = MOVING.read_text().split("\n## What is not as it was\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in below.splitlines() if line.startswith("|")]
    return {key: reason for cells, _, reason in rows[2:] for key in re.findall(r"\d+", cells)}


def plays_the_worker(module: str) -> bool:
    """Tell whether the tests of a file stand in for the worker, so that they show only half of the way."""
    return _STAND_IN.search((ROOT / module).read_text()) is not None


def named() -> list[Named]:
    """Return every test that names items, by file and in order."""
    return [found for path in sorted(ROOT.glob("tests/**/test_*.py")) for found in _named_in(path)]


def _named_in(path: Path) -> Iterator[Named]:
    source = path.read_text()
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for prefix, about, function in _tests(ast.parse(source), "", ""):
        start = min(node.lineno for node in (function, *function.decorator_list))
        while start - 1 in comments:
            start -= 1
        own = [comments[line] for line in range(start, (function.end_lineno or start) + 1) if line in comments]
        text = "\n".join([about, ast.get_docstring(function) or "", *own])
        if items := numbers(text):
            yield Named(str(path.relative_to(ROOT)), prefix + function.name, frozenset(items))


def _tests(
    node: ast.Module | ast.ClassDef, prefix: str, about: str
) -> Iterator[tuple[str, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef) and child.name.startswith("Test"):
            yield from _tests(child, f"{child.name}.", ast.get_docstring(child) or "")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name.startswith("test"):
            yield prefix, about, child


_HEAD = """# Which test shows which behaviour

Written by `python -m tests.items` from the numbers that the tests name; the behaviours are
[listed here](channels-1-items.md), and what is left out is [explained there](channels-1.md#what-is-not-as-it-was).
"""


def table() -> str:
    """Return the page that maps items to tests."""
    tests: dict[str, dict[str, list[str]]] = {}
    for found in named():
        for key in found.items:
            tests.setdefault(key, {}).setdefault(found.module, []).append(found.test)
    reasons, lines, heading = excepted(), [_HEAD], ""
    for key, (section, words) in listed().items():
        if section != heading:
            heading = section
            lines.append(f"\n## {heading}\n\n| item | | tests |\n|---|---|---|")
        cells = [f"[{module[6:]}](../{module}): {', '.join(names)}" for module, names in tests.get(key, {}).items()]
        if key in reasons:
            cells.append("[not as it was](channels-1.md#what-is-not-as-it-was)")
        lines.append(f"| {key} | {words} | {'<br>'.join(cells) or 'not there yet'} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
