"""Models: what is said goes to a channel of its own, whose consumer keeps it and passes it on."""

from channelcelery import Channel, Group
from channelcelery.routing import route
from channelcelery.sessions import channel_session

from .models import ChatMessage


# of chat-messages
def msg_consumer(message):
    # keep it
    room = message.content["room"]
    ChatMessage.objects.create(
        room=room,
        message=message.content["message"],
    )
    # tell those who listen
    Group("chat-%s" % room).send(
        {
            "text": message.content["message"],
        }
    )


# of websocket.connect
@channel_session
def ws_connect(message):
    # the whole path is the room's name, but for its slashes
    room = message.content["path"].strip("/")
    # for the messages to come, which find it in the session
    message.channel_session["room"] = room
    Group("chat-%s" % room).add(message.reply_channel)
    # take the socket
    message.reply_channel.send({"accept": True})


# of websocket.receive
@channel_session
def ws_message(message):
    # the database is for somebody else to wait for
    Channel("chat-messages").send(
        {
            "room": message.channel_session["room"],
            "message": message["text"],
        }
    )


# of websocket.disconnect
@channel_session
def ws_disconnect(message):
    Group("chat-%s" % message.channel_session["room"]).discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_connect),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
    route("chat-messages", msg_consumer),
]
