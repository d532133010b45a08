"""Consumers that write down each message as it came, and do what it asks for: what shows on the wire is all theirs."""

import json
import time
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from channelcelery import Channel, Group, route
from channelcelery.exceptions import ChannelFull, RequestAborted
from channelcelery.handler import AsgiHandler, AsgiRequest
from tests.project.consumers import write_down


def note(kind: str, content: Any) -> None:
    """Write a message down so that `ast.literal_eval` reads it."""
    write_down(repr((kind, content)))


def act(message: Any, steps: list[dict[str, Any]]) -> None:
    """Carry out steps, such as {"reply": {...}}, {"add": group} or {"sleep": seconds}."""
    for step in steps:
        now = step.get("now", False)
        if "reply" in step:
            reply = {key: value.encode() if key == "bytes" else value for key, value in step["reply"].items()}
            Channel(step.get("to") or message.reply_channel.name).send(reply, immediately=now)
        elif "add" in step:
            Group(step["add"]).add(message.reply_channel)
        elif "group" in step:
            Group(step["group"]).send(step["content"], immediately=now)
        elif "sleep" in step:
            time.sleep(step["sleep"])


def connect(message: Any) -> None:
    """Do what the query string asks for."""
    note("connect", message.content)
    query = parse_qs(message["query_string"].decode())
    act(message, json.loads(query.get("steps", ["[]"])[0]))


def receive(message: Any) -> None:
    """Do what the frame asks for, if it is a list of steps."""
    note("receive", message.content)
    if (message.get("text") or "").startswith("["):
        act(message, json.loads(message["text"]))


def disconnect(message: Any) -> None:
    """Only write it down."""
    note("disconnect", message.content)


def fill(message: Any) -> None:
    """Send to channels at once until each is full, and write down how many each took and how long that was."""
    taken = {}
    begun = time.monotonic()
    for name in message["channels"]:
        taken[name] = 0
        try:
            while taken[name] < 1_000:
                Channel(name).send({"text": "x"}, immediately=True)
                taken[name] += 1
        except ChannelFull:
            pass
    # what a group's members at capacity do not take is no error
    Group("nobody-reads").add(message["channels"][0])
    Group("nobody-reads").send({"text": "x"}, immediately=True)
    note("filled", [taken, time.monotonic() - begun])


def request(message: Any) -> None:
    """Write a request down, and answer it by hand: by the replies that it asks for, if it does."""
    note("request", message.content)
    query = parse_qs(message["query_string"].decode())
    if "replies" in query:
        for reply in json.loads(query["replies"][0]):
            message.reply_channel.send({key: _as_bytes(key, value) for key, value in reply.items()})
        return
    for chunk in AsgiHandler.encode_response(HttpResponse("by hand")):
        message.reply_channel.send(chunk)


def _as_bytes(key: str, value: Any) -> Any:
    return value.encode() if key == "content" else value


def late(message: Any) -> None:
    """Read a request's body when its client has had time to leave, and write down whether that was noticed."""
    note("late", "begins")
    time.sleep(0.5)
    try:
        AsgiRequest(message)
    except RequestAborted:
        note("late", "aborted")


def left(message: Any) -> None:
    """Write down which request's client left."""
    note("left", message.content)


def view(request: Any) -> HttpResponse:
    """Show what a view sees of its message, and which headers came."""
    is_own = request.reply_channel.name == request.message.reply_channel.name == request.message["reply_channel"]
    headers = sorted(key for key in request.META if key.startswith("HTTP_X"))
    said = [isinstance(request, AsgiRequest), isinstance(request, HttpRequest), is_own, request.message.channel.name]
    meta = {key: value for key, value in request.META.items() if not key.startswith("HTTP_X")}
    return JsonResponse({"said": said, "headers": headers, "read": len(request.body), "meta": meta})


urlpatterns = [path("view/", view)]

channel_routing = [
    route("http.request", late, path=r"^/request/late-body/"),
    route("http.request", request, path=r"^/request/"),
    route("http.disconnect", left),
    route("websocket.connect", connect),
    route("websocket.receive", receive),
    route("websocket.disconnect", disconnect),
    route("fill", fill),
    route("act", lambda message: act(message, message["steps"])),
]
