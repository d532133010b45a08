"""`manage.py channelstatus`: interface processes, channels and workers at a glance."""

import json
import time
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from channelcelery.management.options import seconds
from channelcelery.observe.status import Status, look

__all__ = ["Command"]


class Command(BaseCommand):
    """Show the state of all processes of the project."""

    help = "Shows interface processes, channels and workers, and what waits where."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--json", action="store_true", help="as JSON, one object a line")
        text = "show it again every so many seconds (2), until Ctrl-C"
        add("--watch", nargs="?", type=seconds, const=2.0, metavar="SECONDS", help=text)
        add("--patience", type=seconds, default=1.0, metavar="SECONDS", help="for workers to answer (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        with suppress(KeyboardInterrupt):
            while True:
                status = look(options["patience"])
                if options["json"]:
                    self.stdout.write(json.dumps(status.plain()))
                else:
                    self._show(status, clear=options["watch"] is not None)
                self.stdout.flush()
                if options["watch"] is None:
                    return
                time.sleep(options["watch"])

    def _show(self, status: Status, clear: bool) -> None:
        if clear and self.stdout.isatty():
            self.stdout.write("\x1b[2J\x1b[H", ending="")
        for title, heads, rows in status.tables():
            self.stdout.write(self.style.MIGRATE_HEADING(title))
            cells = [heads, *(tuple(map(str, row)) for row in rows)]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            for row in cells if rows else ():
                self.stdout.write("  " + "  ".join(map(str.ljust, row, widths)).rstrip())
        for problem in status.problems:
            self.stderr.write(problem)
