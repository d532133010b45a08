"""One plain page, and long bodies, so that HTTP can be tried."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.project.bodies import digest, download, hang, stream


def hello(request: HttpRequest) -> HttpResponse:
    """Answer a short plain text."""
    return HttpResponse("hello", content_type="text/plain")


urlpatterns = [
    path("hello", hello),
    path("digest", digest),
    path("hang", hang),
    path("download/<int:size>", download),
    path("stream/<int:parts>/<int:milliseconds>", stream),
]
