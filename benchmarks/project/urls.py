"""One page of 13 bytes."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def hello(request: HttpRequest) -> HttpResponse:
    """Answer a short plain text."""
    return HttpResponse(b"Hello, world!", content_type="text/plain")


urlpatterns = [path("hello", hello)]
