"""All examples in one project: the routing of each below a prefix of its own, as its own project would have it."""

from channelcelery.routing import include, route

_HERE = "tests.acceptance.getting_started"

channel_routing = [
    include(f"{_HERE}.echo_http.channel_routing", path=r"^/hello"),
    include(f"{_HERE}.echo_websocket.channel_routing", path=r"^/echo"),
    include(f"{_HERE}.chat_groups.channel_routing", path=r"^/groups"),
    include(f"{_HERE}.chat_sessions.channel_routing", path=r"^/rooms"),
    include(f"{_HERE}.chat_users.channel_routing", path=r"^/users"),
    include(f"{_HERE}.chat_origins.channel_routing", path=r"^/origins"),
    include(f"{_HERE}.chat_routing.routing", path=r"^/routing"),
    include(f"{_HERE}.order_strict.channel_routing", path=r"^/strict"),
    include(f"{_HERE}.order_slight.channel_routing", path=r"^/slight"),
    # which takes the whole path for a room's name; the messages of its own channel have none
    include(f"{_HERE}.chat_models.channel_routing", path=r"^/[a-z]+/$"),
    route("chat-messages", f"{_HERE}.chat_models.msg_consumer"),
]
