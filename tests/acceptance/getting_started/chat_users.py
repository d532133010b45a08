"""Authentication: those whose names begin with the same letter hear each other."""

from channelcelery import Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.routing import route


# of websocket.connect
@channel_session_user_from_http
def ws_add(message):
    # take the socket
    message.reply_channel.send({"accept": True})
    # the browser's cookie says who this is
    Group("chat-%s" % message.user.username[0]).add(message.reply_channel)


# of websocket.receive
@channel_session_user
def ws_message(message):
    Group("chat-%s" % message.user.username[0]).send(
        {
            "text": message["text"],
        }
    )


# of websocket.disconnect
@channel_session_user
def ws_disconnect(message):
    Group("chat-%s" % message.user.username[0]).discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_add),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]
