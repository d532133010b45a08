"""A project whose messages go through the outbox; its database is SQLite or PostgreSQL."""

from tests.project_outbox.celery import app as celery_app

__all__ = ["celery_app"]
