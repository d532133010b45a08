"""The parts of pages that are written by what measures: they stand between two comments."""

import re
from pathlib import Path

from benchmarks.processes import ROOT

__all__ = ["PAGE", "README", "replace_block", "write_block"]

PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"


def replace_block(page: str, name: str, text: str) -> str:
    """Return a page with another text between the comments of a name.

    Raises:
        ValueError: the page has no such comments.
    """
    begin, end = f"<!-- {name}: written by a script -->", f"<!-- end of {name} -->"
    # a function, since a text may hold what looks like a reference to a group
    written, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the page has {count} places between {begin!r} and {end!r}, not one")
    return written


def write_block(name: str, text: str, page: Path = PAGE) -> None:
    """Write it into a page.

    Raises:
        ValueError: the page has no place for it.
    """
    page.write_text(replace_block(page.read_text(), name, text))
