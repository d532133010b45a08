"""Views with long bodies, either way; what happens to them is written down."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator

from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from tests.project.consumers import write_down


@csrf_exempt
def digest(request: HttpRequest) -> HttpResponse:
    """Read the body piece by piece, and answer its length and digest."""
    found, size = hashlib.sha256(), 0
    while piece := request.read(65536):
        found.update(piece)
        size += len(piece)
    return HttpResponse(f"{size} {found.hexdigest()}")


def download(request: HttpRequest, size: int) -> FileResponse:
    """Send a file of zeros."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    file.truncate(size)
    return FileResponse(file)


def stream(request: HttpRequest, parts: int, milliseconds: int) -> StreamingHttpResponse:
    """Send parts of 64 KiB, one after another, with a pause after each."""
    return StreamingHttpResponse(_parts(parts, milliseconds / 1000))


def hang(request: HttpRequest) -> HttpResponse:
    """Write the process down, and never answer."""
    write_down(f"hangs {os.getpid()}")
    while True:
        time.sleep(1)


def _parts(parts: int, pause: float) -> Iterator[bytes]:
    write_down("stream begins")
    try:
        for number in range(parts):
            yield bytes([number % 256]) * 65536
            time.sleep(pause)
        write_down("stream ends")
    finally:
        write_down("stream closed")
