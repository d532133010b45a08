"""Consumers that answer requests by hand, in the manner of Channels 1.x."""

import hashlib

from django.http import HttpResponse

from channelcelery import Channel, Group, consumer
from channelcelery.handler import AsgiHandler
from channelcelery.message import Message
from tests.project.consumers import write_down


@consumer("answer")
def answer(message: Message) -> None:
    """Answer a request that a view left to this."""
    for reply in AsgiHandler.encode_response(HttpResponse("later")):
        Channel(message["reply_channel"]).send(reply)


@consumer("tell")
def tell(message: Message) -> None:
    """Answer every request that waits."""
    for reply in AsgiHandler.encode_response(HttpResponse(message["text"])):
        Group("waiting").send(reply)


@consumer("http.request", path=r"^/by-hand/")
def by_hand(message: Message) -> None:
    """Read the body piece by piece, and answer with its hash."""
    found = hashlib.sha256(message["body"])
    channel, more = message.get("body_channel"), True
    while channel and more:
        _, piece = message.channel_layer.receive([channel], block=True)
        if piece is None or piece.get("closed"):
            return
        found.update(piece["content"])
        more = piece["more_content"]
    response = HttpResponse(found.hexdigest(), headers={"X-By": "hand"})
    for reply in AsgiHandler.encode_response(response):
        message.reply_channel.send(reply)


@consumer("http.request", path=r"^/silent/")
def silent(message: Message) -> None:
    """Answer nothing: no request is answered just because a consumer returned."""
    write_down("silent ran")
