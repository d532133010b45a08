"""Running the project with reliable channels, and sending to it."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from tests.integration.workers import WorkerSetup
from tests.processes import wait_until

#: Options of a worker that leave out the channels with time limits of their own, which not every pool can enforce.
UNLIMITED = ["--exclude-channels", "limited", "--exclude-channels", "stubborn"]

_SEND = """
import json, sys, django
django.setup()
from channelcelery import Channel
for channel, content in json.loads({messages!r}):
    Channel(channel).send(content)
"""


class ReliableSetup(WorkerSetup):
    """The project's processes; its database is a file of the test's own."""

    project = "tests.project_reliable"

    def env(self) -> dict[str, str | None]:
        """Return the environment of the project's processes."""
        return {**super().env(), "DJANGO_SETTINGS_MODULE": "tests.project_reliable.settings"}

    def migrate(self) -> None:
        """Make the tables."""
        self.manage("migrate")

    def manage(self, *arguments: str) -> None:
        """Run a command of `manage.py`."""
        code = "from django.core.management import execute_from_command_line as run; run"
        self.python(f"{code}({['manage.py', *arguments]!r})")

    def send_reliably(self, *messages: tuple[str, Mapping[str, Any]]) -> None:
        """Send (channel, content) pairs from a process of the project."""
        self.python(_SEND.format(messages=json.dumps(messages)))

    def letters(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return columns of the dead letters, the oldest first."""
        with closing(sqlite3.connect(self.directory / "db.sqlite3")) as database:
            query = f"select {', '.join(columns)} from channelcelery_reliable_deadletter order by id"  # noqa: S608
            return database.execute(query).fetchall()

    def counted(self, what: str) -> Counter[str]:
        """Return how often each number was written down with a word before it."""
        return Counter(line.split()[1] for line in self.lines() if line.startswith(f"{what} "))

    def wait_for(self, what: str, count: int, timeout: float = 60) -> None:
        """Wait until so many different numbers were written down with a word before them."""
        wait_until(lambda: len(self.counted(what)) >= count, timeout=timeout, what=f"{count} lines with {what}")

    def wait_for_letters(self, count: int, timeout: float = 60) -> None:
        """Wait until there are so many dead letters."""
        wait_until(lambda: len(self.letters("id")) >= count, timeout=timeout, what=f"{count} dead letters")


def numbers(count: int, channel: str = "orders", **content: Any) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Return messages with numbers, for `send_reliably`."""
    return [(channel, {"number": number, **content}) for number in range(count)]
