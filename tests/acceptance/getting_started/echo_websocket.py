"""First consumers: one that sends every frame back, whatever the socket's path."""

from channelcelery.routing import route


def ws_message(message):
    # what came and what goes have the same key
    message.reply_channel.send(
        {
            "text": message.content["text"],
        }
    )


channel_routing = [
    route("websocket.receive", ws_message),
]
