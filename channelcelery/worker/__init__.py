"""The worker's side: `install(app)` makes a Celery app's workers run consumers."""

from channelcelery.worker.install import install

__all__ = ["install"]
