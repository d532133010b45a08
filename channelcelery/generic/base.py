"""`BaseConsumer`: a class whose methods are consumers, one instance to a message (Channels 1.x, items 178 to 181)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from channelcelery.around import finish
from channelcelery.auth import channel_session_user
from channelcelery.message import Message
from channelcelery.routing import route_class
from channelcelery.sessions import channel_session

__all__ = ["BaseConsumer"]


class BaseConsumer:
    """Handles a message while it is made, by the method that `method_mapping` names for its channel.

    Args:
        message: the message, afterwards `self.message`.
        kwargs: the named groups of the route, afterwards `self.kwargs`.
    """

    #: channel -> name of the method that handles its messages
    method_mapping: ClassVar[Mapping[str, str]] = {}
    #: whether the methods are decorated with `channelcelery.sessions.channel_session`
    channel_session: bool = False
    #: whether they are decorated with `channelcelery.auth.channel_session_user`
    channel_session_user: bool = False

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message: Any = message
        self.kwargs = kwargs
        self.dispatch(message, **kwargs)

    @classmethod
    def channel_names(cls) -> set[str]:
        """Return the channels that the class is for, by default those of `method_mapping`."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: dict[str, Any] | None = None, **kwargs: Any) -> route_class:
        """Return a route to this class (item 181).

        Args:
            attrs: class attributes of a subclass to route to instead.
            kwargs: filters of the route.

        Raises:
            AssertionError: `attrs` is no dict.
        """
        if not attrs:
            return route_class(cls, **kwargs)
        if not isinstance(attrs, dict):
            raise AssertionError(f"attrs must be a dict of class attributes, not {attrs!r:.100}")
        named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        return route_class(type(cls.__name__, (cls,), named | attrs), **kwargs)

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
        """Return the method for a message with its decorators; subclasses may add more (item 179)."""
        handler: Callable[..., Any] = getattr(self, self.method_mapping[message.channel.name])
        if self.channel_session_user:
            return channel_session_user(handler)
        if self.channel_session:
            return channel_session(handler)
        return handler

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Run the method for a message; one that is `async def` is run to its end."""
        return finish(self.get_handler(message, **kwargs)(message, **kwargs))
