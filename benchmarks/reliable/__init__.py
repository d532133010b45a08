"""A project with a reliable channel, and beside it a plain Celery app whose task has the same guarantees."""
