"""Decorators of consumers as context managers: on functions and methods, `def` and `async def`."""

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from functools import wraps
from inspect import iscoroutine
from typing import Any, TypeVar, cast

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

from channelcelery.message import Message

__all__ = ["around", "find_message", "finish"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def around(name: str, surround: Callable[[Message], AbstractContextManager[None]]) -> Callable[[Decorated], Decorated]:
    """Return a decorator that runs a consumer inside a context made for its message.

    The context is entered and left on the thread that synchronous code belongs to, so it may use the database.

    Args:
        name: the decorator's name, for errors.
        surround: makes the context.
    """

    def decorate(function: Decorated) -> Decorated:
        if iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with _off_the_loop(surround(find_message(name, args, kwargs))):
                    return await function(*args, **kwargs)

            return cast(Decorated, run_async)

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with surround(find_message(name, args, kwargs)):
                return finish(function(*args, **kwargs))

        return cast(Decorated, run)

    return decorate


def find_message(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Message:
    """Return the message that a consumer is called with: its first argument, or the second after `self` (item 131).

    Args:
        name: the decorator's name, for the error.
        args: positional arguments of the call.
        kwargs: its keyword arguments; `message` counts too.

    Raises:
        ValueError: there is none.
    """
    for candidate in (*args[:2], kwargs.get("message")):
        if isinstance(candidate, Message):
            return candidate
    raise ValueError(
        f"{name} called without Message instance: it is for consumers, whose first argument (after self) is the message"
    )


def finish(result: Any) -> Any:
    """Return what a consumer returned, after running it to its end if it is a coroutine."""
    if iscoroutine(result):
        return async_to_sync(_awaited)(result)
    return result


async def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


@asynccontextmanager
async def _off_the_loop(context: AbstractContextManager[None]) -> AsyncIterator[None]:
    """Enter and leave a context in the thread that synchronous code belongs to."""
    await sync_to_async(context.__enter__)()
    try:
        yield
    except BaseException:
        if not await sync_to_async(context.__exit__)(*sys.exc_info()):
            raise
    else:
        await sync_to_async(context.__exit__)(None, None, None)
