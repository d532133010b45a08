"""Whether the tables of reliable channels are there."""

from collections.abc import Collection

from django.apps import apps
from django.db import connections, router

__all__ = ["missing_tables"]


def missing_tables(databases: Collection[str] | None = None) -> list[str]:
    """Return the names of the tables that no migration has made yet, each with its database.

    Args:
        databases: aliases of those to look at; None means all that routers choose for these tables.

    Raises:
        DatabaseError, InterfaceError: a database did not answer.
    """
    missing = []
    for model in apps.get_app_config("channelcelery_reliable").get_models():
        using, table = router.db_for_write(model), model._meta.db_table
        if databases is None or using in databases:
            with connections[using].cursor() as cursor:
                if table not in connections[using].introspection.table_names(cursor):
                    missing.append(f"{table} in {using}")
    return missing
