"""The site's pages."""

import asyncio
import hashlib
import io
import os
import time
from collections.abc import AsyncIterator, Iterator

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from channelcelery import Channel, Group
from channelcelery.exceptions import ResponseLater
from tests.project.consumers import write_down


def hello(request: HttpRequest) -> HttpResponse:
    """Answer at once."""
    return HttpResponse("hello", content_type="text/plain")


def may_go_on(request: HttpRequest) -> bool:
    """Tell whether the file is there that a request names, if it names one."""
    name = request.GET.get("until")
    return name is None or os.path.exists(f"{os.environ['TEST_NOTES']}.{name}")


def held(request: HttpRequest) -> HttpResponse:
    """Write down that it begins, and answer when it may."""
    write_down("held")
    while not may_go_on(request):
        time.sleep(0.01)
    return HttpResponse("held", content_type="text/plain")


def seen(request: HttpRequest) -> JsonResponse:
    """Return what the view sees."""
    return JsonResponse(
        {"path": request.path, "get": request.GET, "cookies": request.COOKIES, "host": request.get_host()}
    )


def count(request: HttpRequest) -> HttpResponse:
    """Count the visits of a browser."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    """Return names, sizes and hashes of files."""
    files = {name: [file.size, hashlib.sha256(file.read()).hexdigest()] for name, file in request.FILES.items()}
    return JsonResponse({"data": request.POST.dict(), "files": files})


@csrf_exempt
def digest(request: HttpRequest) -> HttpResponse:
    """Return the hash of the body."""
    return HttpResponse(hashlib.sha256(request.body).hexdigest())


def large(request: HttpRequest) -> JsonResponse:
    """Return a megabyte of JSON."""
    return JsonResponse({"text": "x" * 1_000_000})


def fails(request: HttpRequest) -> HttpResponse:
    """Raise."""
    raise RuntimeError("on purpose")


def later(request: HttpRequest) -> HttpResponse:
    """Leave the answer to a consumer."""
    request.session["asked"] = True
    Channel("answer").send({"reply_channel": request.reply_channel.name})  # type: ignore[attr-defined]
    raise ResponseLater


def wait(request: HttpRequest) -> HttpResponse:
    """Wait for what is sent to a group."""
    Group("waiting").add(request.reply_channel)  # type: ignore[attr-defined]
    write_down("waits")
    raise ResponseLater


async def awaits(request: HttpRequest) -> HttpResponse:
    """Use the database as a coroutine."""
    await asyncio.sleep(0.001)
    return HttpResponse(f"{await User.objects.acount()} users")


def numbers(request: HttpRequest) -> StreamingHttpResponse:
    """Stream numbers, with pauses."""

    def parts() -> Iterator[str]:
        try:
            for number in range(int(request.GET["parts"])):
                yield f"{number:09},"
                time.sleep(float(request.GET.get("pause", 0)))
                while not may_go_on(request):
                    time.sleep(0.01)
        finally:
            write_down("stream closed")

    return StreamingHttpResponse(parts(), content_type="text/plain")


async def numbers_async(request: HttpRequest) -> StreamingHttpResponse:
    """The same as a coroutine, with a look at the database for each."""

    async def parts() -> AsyncIterator[str]:
        try:
            for number in range(int(request.GET["parts"])):
                await Session.objects.acount()
                yield f"{number:09},"
                await asyncio.sleep(float(request.GET.get("pause", 0)))
                while not may_go_on(request):
                    await asyncio.sleep(0.01)
        finally:
            write_down("stream closed")

    return StreamingHttpResponse(parts(), content_type="text/plain")


def endless(request: HttpRequest) -> StreamingHttpResponse:
    """Stream without end."""

    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            write_down("endless closed")

    return StreamingHttpResponse(parts())


def breaks(request: HttpRequest) -> StreamingHttpResponse:
    """Fail in the middle."""

    def parts() -> Iterator[bytes]:
        yield b"begun"
        raise RuntimeError("on purpose")

    return StreamingHttpResponse(parts())


def download(request: HttpRequest) -> FileResponse:
    """Send a file of 10 MB."""
    return FileResponse(io.BytesIO(b"0123456789" * 1_000_000), as_attachment=True, filename="ten.bin")


_VIEWS = (
    *(hello, held, seen, count, upload, digest, large, fails, later, wait),
    *(awaits, numbers, numbers_async, endless, breaks, download),
)
urlpatterns = [path("admin/", admin.site.urls), *(path(f"{view.__name__}/", view) for view in _VIEWS)]
