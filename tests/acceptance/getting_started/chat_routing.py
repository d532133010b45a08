"""Routing: by path and method, includes that cut what they match, and rooms out of the path."""

from django.http import HttpResponse

from channelcelery import Group
from channelcelery.auth import channel_session_user, channel_session_user_from_http
from channelcelery.handler import AsgiHandler
from channelcelery.routing import include, route


# of http.request
def poll_consumer(message):
    for chunk in AsgiHandler.encode_response(HttpResponse("polled %s" % message["body"].decode())):
        message.reply_channel.send(chunk)


# of websocket.connect
@channel_session_user_from_http
def chat_connect(message, room):
    message.channel_session["room"] = room
    # join first and answer then
    Group("chat-%s" % room).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


# of websocket.receive
@channel_session_user
def chat_receive(message):
    Group("chat-%s" % message.channel_session["room"]).send({"text": message["text"]})


# of websocket.disconnect
@channel_session_user
def chat_disconnect(message):
    Group("chat-%s" % message.channel_session["room"]).discard(message.reply_channel)


http_routing = [
    route("http.request", poll_consumer, path=r"^/poll/$", method=r"^POST$"),
]

chat_routing = [
    route("websocket.connect", chat_connect, path=r"^/(?P<room>[a-zA-Z0-9_]+)/$"),
    route("websocket.receive", chat_receive),
    route("websocket.disconnect", chat_disconnect),
]

routing = [
    # a dotted path does as well
    include("tests.acceptance.getting_started.chat_routing.chat_routing", path=r"^/chat"),
    include(http_routing),
]
