"""A database of a test's own beside Django's, whose routers send the tables of reliable channels there."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections

__all__ = [
    "SHOP",
    "SQLITE",
    "Shop",
    "ShopRouter",
    "at_the_same_time",
    "database_at",
    "empty_tables",
    "make_tables",
    "new_postgres_database",
]

#: The database's alias.
SHOP = "shop"
#: Options of SQLite: no test is about what a crash of the machine leaves, and its disk may be busy.
SQLITE = {"timeout": 20, "init_command": "PRAGMA synchronous=OFF"}
_numbers = itertools.count(1)


class ShopRouter:
    """Puts the tables of reliable channels into the shop's database."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return SHOP if model._meta.app_label == "channelcelery_reliable" else None

    db_for_read = db_for_write


class Shop:
    """The shop's database: a table where consumers leave their effects, and those of reliable channels."""

    alias = SHOP

    def execute(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run a query in the transaction under way."""
        with connections[SHOP].cursor() as cursor:
            cursor.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []

    def effect(self, number: int) -> None:
        """Do what consumers do."""
        self.execute("INSERT INTO effects (number, parent) VALUES (%s, NULL)", number)

    def effects(self) -> list[int]:
        """Return what was done, in order."""
        return [number for (number,) in self.execute("SELECT number FROM effects ORDER BY number")]

    def rows(self) -> Any:
        """Return what is in the outbox."""
        from channelcelery.reliable.models import OutboxRow

        return OutboxRow.objects.using(SHOP)

    def marks(self) -> Any:
        """Return what is marked as done."""
        from channelcelery.reliable.models import Done

        return Done.objects.using(SHOP)


def new_postgres_database(server: dict[str, Any]) -> dict[str, Any]:
    """Make an empty database on a server, and return what DATABASES says of it."""
    name = f"shop{next(_numbers)}"
    where = f"host={server['HOST']} port={server['PORT']} user={server['USER']} dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type,unused-ignore]
    return {**server, "NAME": name}


@contextmanager
def database_at(entry: dict[str, Any], alias: str = SHOP) -> Iterator[None]:
    """Add a database to DATABASES for the block."""
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: entry})[alias]
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def make_tables() -> None:
    """Make the shop's tables."""
    call_command("migrate", "channelcelery_reliable", database=SHOP, verbosity=0)
    Shop().execute("CREATE TABLE parents (id integer PRIMARY KEY)")
    Shop().execute(
        "CREATE TABLE effects (number integer, parent integer REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)"
    )


def empty_tables() -> None:
    """Leave nothing in the shop's tables."""
    for table in ("effects", "parents", "channelcelery_reliable_outboxrow", "channelcelery_reliable_done"):
        Shop().execute(f"DELETE FROM {table}")  # noqa: S608
    Shop().execute("DELETE FROM channelcelery_reliable_deadletter")


def at_the_same_time(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads, each with connections of its own, and return what they did."""
    found: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            found[number] = calls[number]()
        except Exception as error:
            found[number] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found
