"""Data binding in the manner of Channels 1.x: users, seen by everybody, changed by staff."""

from typing import Any

from django.contrib.auth.models import User

from channelcelery.binding.websockets import WebsocketBinding
from channelcelery.generic.websockets import WebsocketDemultiplexer


class UserBinding(WebsocketBinding):
    """Tells of names, and takes them."""

    model = User
    stream = "users"
    fields = ["username", "first_name"]

    @classmethod
    def group_names(cls, instance: Any) -> list[str]:
        return ["users-active"] if instance.is_active else []

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:
        return bool(user.is_staff)


class Users(WebsocketDemultiplexer):
    """The socket that they come by."""

    http_user = True
    consumers = {"users": UserBinding.consumer}

    def connection_groups(self, **kwargs: Any) -> list[str]:
        return ["users-active"]
