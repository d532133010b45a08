"""Copies of the working copy, to be changed and run in: what a clone holds, without what the original has gathered."""

import shutil
from pathlib import Path

from tests.acceptance.sites import BIN, ROOT

__all__ = ["copy_of_the_repository", "processes_with", "virtual_environment"]

_PARTS = ("channelcelery", "example_site", "scripts", "celeryconfig.py", "Makefile", "Procfile", "pyproject.toml")
_PAPERS = ("README.md", "LICENSE")


def copy_of_the_repository(directory: Path) -> Path:
    """Copy what the commands need into a directory and return it."""
    for name in (*_PARTS, *_PAPERS):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "db.sqlite3*")
            shutil.copytree(source, directory / name, ignore=ignored)
        else:
            shutil.copy2(source, directory / name)
    return directory


def virtual_environment(directory: Path) -> Path:
    """Make a directory that is the tests' own environment by another name, marked for make as complete."""
    directory.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        if (BIN.parent / name).exists():
            (directory / name).symlink_to(BIN.parent / name)
    for stamp in (".installed", ".installed-for-development"):
        (directory / stamp).touch()
    return directory


def processes_with(variable: str) -> dict[int, str]:
    """Return id and command line of each running process that has a variable ("NAME=value") in its environment."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (directory / "environ").read_bytes().split(b"\0"):
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended, or is not ours
            continue
    return found
