"""One page of 13 bytes, and files to send either way."""

import tempfile

from django.http import FileResponse, HttpRequest, HttpResponse
from django.urls import path


def hello(request: HttpRequest) -> HttpResponse:
    """Answer a short plain text."""
    return HttpResponse(b"Hello, world!", content_type="text/plain")


def upload(request: HttpRequest) -> HttpResponse:
    """Take a file, and answer how large it was."""
    return HttpResponse(f"\r\n{request.FILES['f'].size}")


def download(request: HttpRequest) -> FileResponse:
    """Send a file of as many zeros as the query string says."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    file.truncate(int(request.META["QUERY_STRING"]))
    return FileResponse(file)


urlpatterns = [path("hello", hello), path("upload", upload), path("download", download)]
