"""Reading the documentation's pages: their fenced blocks, their links, and the projects that they build."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "Project", "blocks", "commands"]

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    [*ROOT.glob("docs/**/*.md"), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY"))]
)

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:# |<!-- )(?P<path>[\w./-]+\.\w+)(?P<end>, at the end)?(?: -->)?\n")
#: Variables that a reader's shell has not.
_NOT_OURS = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: what the fence says.
        text: what is inside.
        start: where it begins in the page.
    """

    language: str
    text: str
    start: int

    @property
    def file(self) -> str | None:
        """The path of the file that this is, as its first line says, or None."""
        match = _FILE.match(self.text)
        return match["path"] if match else None

    @property
    def continues(self) -> bool:
        """Whether it is put at the end of a file that is there."""
        match = _FILE.match(self.text)
        return bool(match and match["end"])


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks, in order."""
    return [Block(match[1], match[2], match.start()) for match in _FENCE.finditer(page.read_text())]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command line of a page: the indented ones, and those in code spans."""
    text = _FENCE.sub("", page.read_text()).replace("\\\n", " ")
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    for line in lines:
        words = line.split("  # ")[0].replace("'", "").split()
        while words and ("=" in words[0] or words[0].endswith(":")):  # variables, and names of a Procfile's lines
            words = words[1:]
        if words:
            yield words


@dataclass
class Project:
    """A Django project made of a page's files.

    Args:
        directory: where it is.
        settings: the dotted path of its settings, for commands that are not manage.py's.
    """

    directory: Path
    settings: str | None = None

    def write(self, page: Path, *, after: str = "", until: str = "") -> None:
        """Write the files of a page, or of the part of it between two headings."""
        text = page.read_text()
        first = text.index(f"\n{after}\n") if after else 0
        last = text.index(f"\n{until}\n") if until else len(text)
        for block in blocks(page):
            if block.file is not None and not block.file.startswith("/") and first <= block.start < last:
                path = self.directory / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                former = path.read_text() if block.continues else ""
                path.write_text(former + block.text)

    def env(self, **variables: str) -> dict[str, str | None]:
        """Return what the project's processes find in their environment, added to the tests' own."""
        return {
            **dict.fromkeys(_NOT_OURS),
            "DJANGO_SETTINGS_MODULE": self.settings,
            **variables,
        }

    def run(self, *arguments: str) -> str:
        """Run Python with these arguments in the project, to its end, and return what it printed; it must succeed."""
        environment = {key: value for key, value in {**os.environ, **self.env()}.items() if value is not None}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout
