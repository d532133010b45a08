"""Routings that tests name by dotted path."""

from channelcelery.routing import include, route
from tests.unit.consumers_to_route import ClassConsumer, first, second

as_list = [route("websocket.receive", first, path="^/first"), route("websocket.receive", second)]
as_tuple = tuple(as_list)
as_dict = {"websocket.receive": "tests.unit.consumers_to_route.first", "websocket.connect": second}
nested = [include("tests.unit.routings.as_list", path="^/deep"), include(as_dict, method="^POST$")]
empty: list[object] = []
not_a_routing = 5
a_text = "tests.unit.routings.as_list"
__all__ = ["ClassConsumer", "a_text", "as_dict", "as_list", "as_tuple", "empty", "nested", "not_a_routing"]
