"""The project that is killed: consumers that write down what they do, and a Celery app that can be weakened."""

from tests.chaos.project.celery import app as celery_app

__all__ = ["celery_app"]
