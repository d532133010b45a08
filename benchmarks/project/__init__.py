"""The Django project that is measured: an echo, a group, a page of 13 bytes, a consumer that does nothing."""

from benchmarks.project.celery import app as celery_app

__all__ = ["celery_app"]
