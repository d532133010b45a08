"""URLconf and middleware of the tests of `AsgiHandler`."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

from channelcelery.channel import Channel
from channelcelery.exceptions import ResponseLater

#: What happened, in order.
events: list[str] = []
#: The loops that parts of an asynchronous stream were made in.
loops: list[Any] = []


def plain(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(f"plain {request.method}", headers={"X-One": "caf\xe9"})
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def posted(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"data": request.POST.dict(), "files": sorted(request.FILES)})


def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


def exits(request: HttpRequest) -> HttpResponse:
    raise SystemExit


def denied(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def later(request: HttpRequest) -> HttpResponse:
    raise request.ResponseLater  # type: ignore[attr-defined]


async def later_async(request: HttpRequest) -> HttpResponse:
    raise ResponseLater


async def awaits(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("awaited")


def where(request: HttpRequest) -> HttpResponse:
    return HttpResponse(reverse("where"))


def sends(request: Any) -> HttpResponse:
    layer = request.message.channel_layer
    Channel("log", channel_layer=layer).send({"n": 1})
    events.append(f"sent {len(layer.publisher.queues)}")
    return HttpResponse("sent")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * int(request.GET["size"]))


def streams(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        try:
            for number in range(int(request.GET["parts"])):
                events.append(f"part {number}")
                yield f"{number},"
        finally:
            events.append("stream closed")

    return StreamingHttpResponse(parts())


def breaks(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        yield "begun"
        raise RuntimeError("on purpose")

    return StreamingHttpResponse(parts())


async def streams_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        try:
            for number in range(int(request.GET["parts"])):
                loops.append(asyncio.get_running_loop())
                events.append(f"part {number}")
                await asyncio.sleep(0)
                yield f"{number},"
        finally:
            events.append("stream closed")

    return StreamingHttpResponse(parts())


def downloads(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"f" * 1_200_000), as_attachment=True, filename="f.bin")


def note_events(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that notes what it sees."""
    events.append("middleware loaded")

    def middleware(request: HttpRequest) -> HttpResponse:
        events.append("before")
        response = get_response(request)
        events.append("after")
        return response

    def process_exception(request: HttpRequest, exception: Exception) -> None:
        events.append(f"exception {type(exception).__name__}")

    middleware.process_exception = process_exception  # type: ignore[attr-defined]
    return middleware


def broken_500(request: HttpRequest) -> HttpResponse:
    raise ValueError("the handler of errors fails too")


urlpatterns = [
    path(f"{view.__name__}/", view, name=view.__name__)
    for view in (
        plain,
        posted,
        fails,
        exits,
        denied,
        suspicious,
        later,
        later_async,
        awaits,
        where,
        sends,
        large,
        streams,
        breaks,
        streams_async,
        downloads,
    )
]
