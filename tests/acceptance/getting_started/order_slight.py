"""Enforcing ordering, as 0.17 shows it: connect before all else, and nobody says that the socket is taken."""

import time

from channelcelery import Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.routing import route
from channelcelery.sessions import enforce_ordering


# of websocket.connect
@enforce_ordering(slight=True)
@channel_session_user_from_http
def ws_add(message):
    Group("chat-%s" % message.user.username[0]).add(message.reply_channel)


# Not in the text, whose connect consumer is over before the browser sends anything: this one lets it send meanwhile.
@enforce_ordering(slight=True)
@channel_session_user_from_http
def ws_add_early(message):
    message.reply_channel.send({"accept": True}, immediately=True)
    time.sleep(0.5)
    Group("chat-%s" % message.user.username[0]).add(message.reply_channel)


# of websocket.receive
@enforce_ordering(slight=True)
@channel_session_user
def ws_message(message):
    Group("chat-%s" % message.user.username[0]).send(
        {
            "text": message["text"],
        }
    )


# of websocket.disconnect
@enforce_ordering(slight=True)
@channel_session_user
def ws_disconnect(message):
    Group("chat-%s" % message.user.username[0]).discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_add_early, path=r"^/early/$"),
    route("websocket.connect", ws_add),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]
