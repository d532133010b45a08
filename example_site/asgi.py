"""For any ASGI server: `uvicorn example_site.asgi:application`. `manage.py runinterface` does not need it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_site.settings")

from channelcelery.asgi import application

__all__ = ["application"]
