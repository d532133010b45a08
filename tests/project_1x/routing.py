"""Routing in the manner of Channels 1.x."""

from channelcelery import include, route, route_class
from tests.project_1x import bindings, consumers

chat_routing = [
    route("websocket.connect", consumers.room_connect, path=r"^/(?P<room>[\w-]+)/$"),
    route("websocket.receive", consumers.room_receive),
    route("websocket.disconnect", consumers.room_disconnect),
]

users_routing = {
    "websocket.connect": consumers.users_connect,
    "websocket.receive": consumers.users_receive,
    "websocket.disconnect": consumers.users_disconnect,
}

channel_routing = [
    include(chat_routing, path=r"^/chat"),
    include(users_routing, path=r"^/users/$"),
    route_class(consumers.Counter, path=r"^/board/(?P<board>\w+)/$"),
    consumers.Streams.as_route(path=r"^/streams/$"),
    bindings.Users.as_route(path=r"^/binding/$"),
]
