"""Its routing."""

from channelcelery.routing import route, route_class
from tests.tested_project import consumers

channel_routing = [
    route("websocket.connect", consumers.ws_connect, path=r"^/room/(?P<room>\w+)/$"),
    route("websocket.receive", consumers.ws_receive, path=r"^/room/"),
    route("people", consumers.add_person),
    route_class(consumers.Doubler, path=r"^/double/$"),
]
