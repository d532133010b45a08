"""A Django project for tests that run real workers and interfaces: its consumers write down what they did."""

from tests.project.celery import app as celery_app

__all__ = ["celery_app"]
