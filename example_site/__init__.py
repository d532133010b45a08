"""A Django project that shows channelcelery: a chat, a live blog and an echo."""

from example_site.celery import app as celery_app

__all__ = ["celery_app"]
