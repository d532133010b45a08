"""A project whose channels are reliable: its consumers take a while, fail, or kill their process."""

from tests.project_reliable.celery import app as celery_app

__all__ = ["celery_app"]
