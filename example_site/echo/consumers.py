"""Sends back what it gets. A socket that no consumer refuses is accepted, so `websocket.connect` has none here."""

from channelcelery import consumer


@consumer("websocket.receive", path=r"^/echo/$")
def echo(message):
    if message.get("text") is not None:
        message.reply_channel.send({"text": message["text"]})
    else:
        message.reply_channel.send({"bytes": message["bytes"]})
