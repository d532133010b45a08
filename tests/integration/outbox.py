"""Running the project with an outbox: senders that are killed, a database of either kind."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.contract.databases import new_postgres_database
from tests.integration.reliable import ReliableSetup
from tests.integration.workers import ROOT
from tests.processes import Process, wait_until

__all__ = ["OutboxSetup"]

#: Each transaction writes an order and sends a message; every third is rolled back.
_SELL = """
import random, sys, time, django
django.setup()
from django.db import connection, transaction
from channelcelery import Channel
for number in range({first}, {last}):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (number) VALUES (%s)", [number])
        Channel("boxed").send({{"number": number}})
        time.sleep(random.uniform(0, 0.004))
        if number % 3 == 0:
            transaction.set_rollback(True)
    print("sold", number, flush=True)
"""


@dataclass
class OutboxSetup(ReliableSetup):
    """The project's processes.

    Args:
        postgres: a PostgreSQL server, as DATABASES says it; without one the database is a file of SQLite.
    """

    postgres: dict[str, Any] | None = None
    database: dict[str, Any] = field(default_factory=dict)
    project = "tests.project_outbox"

    def __post_init__(self) -> None:
        if self.postgres is not None:
            self.database = {**new_postgres_database(self.postgres), "CONN_MAX_AGE": 60}
        else:
            # as the documentation says for several processes
            pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            options = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": pragmas}
            name = str(self.directory / "db.sqlite3")
            self.database = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
        # what its sender was killed over is published after 2 s, what the broker lost after 4
        self.config = json.dumps({"publish_timeout": 1, "outbox_wait": 4})

    def env(self) -> dict[str, str | None]:
        """Return the environment of the project's processes."""
        return {
            **super().env(),
            "DJANGO_SETTINGS_MODULE": "tests.project_outbox.settings",
            "TEST_DATABASES": json.dumps({"default": self.database}),
        }

    def migrate(self) -> None:
        """Make the tables, those of orders and of effects too."""
        super().migrate()
        for table in ("orders", "effects"):
            self.query(f"CREATE TABLE {table} (number integer)")

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Run a query, in a transaction of its own."""
        if self.postgres is None:
            import sqlite3

            with closing(sqlite3.connect(self.database["NAME"], timeout=20)) as connection, connection:
                return connection.execute(text).fetchall()
        where = f"host={self.database['HOST']} port={self.database['PORT']} user={self.database['USER']}"
        with psycopg.connect(f"{where} dbname={self.database['NAME']}") as connection:
            cursor = connection.execute(text)  # type: ignore[arg-type,unused-ignore]
            return cursor.fetchall() if cursor.description else []

    def numbers_in(self, table: str) -> list[int]:
        """Return the numbers in a table, in order."""
        return [number for (number,) in self.query(f"SELECT number FROM {table} ORDER BY number")]  # noqa: S608

    def waiting(self) -> int:
        """Return how many messages are in the outbox."""
        return int(self.query("SELECT count(*) FROM channelcelery_reliable_outboxrow")[0][0])

    def sell(self, transactions: int, kills: int, seed: int = 1) -> int:
        """Run senders one after another, each but the last killed at a random point of what all of them do.

        Args:
            transactions: of all of them, at least.
            kills: how many are killed.
            seed: of the points.

        Returns:
            How many transactions ended, by a commit or a rollback.
        """
        chance = random.Random(seed)
        ended = 0
        for kill, point in enumerate([*sorted(chance.sample(range(transactions), kills)), None]):
            first = kill * transactions  # its numbers are no other's
            last = first + (transactions if point is not None else max(0, transactions - ended))
            code = _SELL.format(first=first, last=last)
            with Process([sys.executable, "-c", code], env=self.env(), cwd=ROOT) as process:
                if point is None:
                    assert process.wait(300) == 0, process.output()
                else:
                    process.wait_for_output(rf"sold {first + max(0, point - ended - 1)}\n", timeout=60)
                    time.sleep(chance.uniform(0, 0.02))
                    os.kill(process.pid, signal.SIGKILL)
                    wait_until(lambda process=process: process.returncode is not None)  # type: ignore[misc]
                ended += process.output().count("sold ")
        return ended

    def wait_for_end(self, timeout: float = 60) -> None:
        """Wait until nothing is in the outbox."""
        wait_until(lambda: self.waiting() == 0, timeout=timeout, what="an empty outbox")

    def handled(self, what: str = "boxed") -> Sequence[int]:
        """Return the numbers that consumers wrote down, in order, each as often as it came."""
        return sorted(map(int, self.counted(what).elements()))
