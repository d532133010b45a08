"""Groups: everybody hears what anybody says."""

from channelcelery import Group
from channelcelery.routing import route


# of websocket.connect
def ws_add(message):
    # take the socket
    message.reply_channel.send({"accept": True})
    # let it hear what is said from now on
    Group("chat").add(message.reply_channel)


# of websocket.receive
def ws_message(message):
    Group("chat").send(
        {
            "text": "[user] %s" % message.content["text"],
        }
    )


# of websocket.disconnect
def ws_disconnect(message):
    Group("chat").discard(message.reply_channel)


channel_routing = [
    route("websocket.connect", ws_add),
    route("websocket.receive", ws_message),
    route("websocket.disconnect", ws_disconnect),
]
