"""The page of 13 bytes under Django's own handlers, and its URLconf."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.others.settings")


def hello(request: HttpRequest) -> HttpResponse:
    """Answer a short plain text."""
    return HttpResponse(b"Hello, world!", content_type="text/plain")


urlpatterns = [path("hello", hello)]

asgi = get_asgi_application()
wsgi = get_wsgi_application()
