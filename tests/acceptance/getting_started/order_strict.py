"""Enforcing ordering, as 1.1 shows it: frames are counted in the session, and only receive is decorated."""

from channelcelery import Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.routing import route
from channelcelery.sessions import enforce_ordering


# of websocket.connect
@channel_session_user_from_http
def ws_add(message):
    # no other message of this socket runs beside this one
    message.channel_session["sent"] = 0
    Group("chat").add(message.reply_channel)
    # take the socket
    message.reply_channel.send({"accept": True})


# of websocket.receive
@enforce_ordering
@channel_session_user
def ws_message(message):
    # two of these beside each other would lose a count
    message.channel_session["sent"] = message.channel_session["sent"] + 1
    Group("chat").send(
        {
            "text": "%s: %s" % (message.channel_session["sent"], message["text"]),
        }
    )


# of websocket.disconnect
@channel_session_user
def ws_disconnect(message):
    Group("chat").discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_add),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]
