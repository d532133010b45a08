"""Decorators as contexts: where the message is, what runs when, on `def` and `async def`."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channelcelery.around import around, finish
from channelcelery.message import Message
from tests.fakes import make_message
from tests.unit.sockets import run_async

steps: list[str] = []


@contextmanager
def surround(message: Message) -> Iterator[None]:
    steps.append(f"in {message['n']}")
    try:
        yield
    except KeyError:
        steps.append("raised")
        raise
    finally:
        steps.append("out")


decorated = around("decorated", surround)


@pytest.fixture(autouse=True)
def _no_steps() -> None:
    steps.clear()


def body(fail: bool) -> str:
    steps.append("body")
    if fail:
        raise KeyError("on purpose")
    return "result"


@decorated
def plain(message: Message, fail: bool = False) -> str:
    """The plain one."""
    return body(fail)


@decorated
async def asynchronous(message: Message, fail: bool = False) -> str:
    """The async one."""
    return body(fail)


@decorated
def hidden(message: Message, fail: bool = False) -> Any:
    """A function that does not look like a coroutine function but returns a coroutine."""

    async def inner() -> str:
        return body(fail)

    return inner()


class Thing:
    @decorated
    def method(self, message: Message, fail: bool = False) -> str:
        return body(fail)

    @decorated
    async def amethod(self, message: Message, fail: bool = False) -> str:
        return body(fail)


CALLS = [
    plain,
    functools.partial(run_async, asynchronous),
    hidden,
    Thing().method,
    functools.partial(run_async, Thing().amethod),
]


@pytest.mark.parametrize("call", CALLS)
class TestEachKind:
    def test_given_a_consumer_expect_it_inside_the_context(self, call: Any) -> None:
        assert call(make_message(n=1)) == "result"
        assert steps == ["in 1", "body", "out"]

    def test_if_it_raises_expect_the_context_to_know(self, call: Any) -> None:
        with pytest.raises(KeyError):
            call(make_message(n=1), True)
        assert steps == ["in 1", "body", "raised", "out"]


def test_given_a_keyword_expect_the_message_found() -> None:
    assert plain(message=make_message(n=2)) == "result"


@pytest.mark.parametrize("args", [(), (1, 2), (1, 2, make_message(n=1))])
def test_given_no_message_in_the_first_two_expect_a_value_error(args: Any) -> None:
    """Item 131: position; item 133: the error."""
    with pytest.raises(ValueError, match="decorated called without Message instance"):
        around("decorated", surround)(lambda *args: None)(*args)
    assert steps == []


def test_names_and_docstrings_stay() -> None:
    assert (plain.__name__, plain.__doc__, asynchronous.__name__) == ("plain", "The plain one.", "asynchronous")


def test_given_no_coroutine_expect_it_back() -> None:
    assert finish(5) == 5
