"""`apply_routes`: other routing for a while, so that an app's routes are tested on their own (item 216)."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar, cast
from unittest import TestCase

from asgiref.sync import iscoroutinefunction

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.routes import Include, Routing
from channelcelery.routing import Router, replace_router

__all__ = ["apply_routes"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class apply_routes:
    """Route by these routes and no others: a context manager, and a decorator of test functions and classes.

    Args:
        routes: a route, a list of routes, a list of such lists, or whatever ROUTING may be; none at all is fine.
        aliases: the layers, by their aliases in CHANNEL_LAYERS.
    """

    def __init__(self, routes: Routing | object, aliases: Iterable[str] = (DEFAULT_CHANNEL_LAYER,)) -> None:
        self._routes = routes
        self._aliases = (aliases,) if isinstance(aliases, str) else tuple(aliases)
        self._before: list[dict[str, Router | None]] = []

    def __enter__(self) -> "apply_routes":
        routers = {alias: _router(self._routes) for alias in self._aliases}
        self._before.append({alias: replace_router(alias, router) for alias, router in routers.items()})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        for alias, router in self._before.pop().items():
            replace_router(alias, router)

    # by these names as well in 1.x, for a `setUp` and a `tearDown`
    enter = __enter__
    exit = __exit__

    def __call__(self, decorated: Decorated) -> Decorated:
        if not isinstance(decorated, type):
            return cast(Decorated, self._around(decorated))
        if issubclass(decorated, TestCase):
            self._around_class(decorated)
        else:
            for name, function in list(vars(decorated).items()):
                if name.startswith("test") and callable(function):
                    setattr(decorated, name, self._around(function))
        return decorated

    def _around(self, function: Any) -> Any:
        if iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return run_async

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run

    def _around_class(self, case: Any) -> None:
        set_up = case.setUpClass.__func__

        @wraps(set_up)
        def set_up_class(cls: type[TestCase]) -> None:
            cls.enterClassContext(self)
            set_up(cls)

        case.setUpClass = classmethod(set_up_class)


def _router(routes: Any) -> Router:
    if isinstance(routes, str | Mapping):
        return Router(routes)
    entries = routes if isinstance(routes, list | tuple) else [routes]
    return Router([Include(entry) if isinstance(entry, list | tuple | str | Mapping) else entry for entry in entries])
