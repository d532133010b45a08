"""Persisting data: the room is in the path, the name in the query string of the handshake, and kept from there on."""

import json
from urllib.parse import parse_qs

from channelcelery import Group
from channelcelery.routing import route
from channelcelery.sessions import channel_session


# of websocket.connect
@channel_session
def ws_connect(message, room_name):
    # take the socket
    message.reply_channel.send({"accept": True})
    # the query string is bytes, as it came
    params = parse_qs(message.content["query_string"])
    if b"username" in params:
        # only connect messages have it
        message.channel_session["username"] = params[b"username"][0].decode("utf8")
        Group("chat-%s" % room_name).add(message.reply_channel)
    else:
        # nobody without a name
        message.reply_channel.send({"close": True})


# of websocket.receive
@channel_session
def ws_message(message, room_name):
    Group("chat-%s" % room_name).send(
        {
            "text": json.dumps(
                {
                    "text": message["text"],
                    "username": message.channel_session["username"],
                }
            ),
        }
    )


# of websocket.disconnect
@channel_session
def ws_disconnect(message, room_name):
    Group("chat-%s" % room_name).discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_connect, path=r"^/(?P<room_name>[a-zA-Z0-9_]+)/$"),
    route("websocket.receive", ws_message, path=r"^/(?P<room_name>[a-zA-Z0-9_]+)/$"),
    route("websocket.disconnect", ws_disconnect, path=r"^/(?P<room_name>[a-zA-Z0-9_]+)/$"),
]
