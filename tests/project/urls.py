"""One plain page, so that HTTP can be tried."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def hello(request: HttpRequest) -> HttpResponse:
    """Answer a short plain text."""
    return HttpResponse("hello", content_type="text/plain")


urlpatterns = [path("hello", hello)]
