"""Origin decorators of connect consumers (Channels 1.x, items 173 to 177; defect 9)."""

from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction

from channelcelery.exceptions import DenyConnection
from channelcelery.message import Message
from channelcelery.security.websockets import (
    AllowedHostsOnlyOriginValidator,
    BaseOriginValidator,
    allowed_hosts_only,
)
from tests.fakes import make_message
from tests.unit.sockets import connect_message, run_async


def from_page(*origins: bytes) -> Message:
    return connect_message(headers=[[b"host", b"site"], *([b"origin", origin] for origin in origins)])


@allowed_hosts_only
def connect(message: Message, **kwargs: Any) -> Any:
    """Welcome."""
    return kwargs


@pytest.mark.parametrize(
    ("hosts", "origin"),
    [
        (["a.example"], b"https://a.example"),
        (["a.example"], b"http://a.example:8000"),
        (["a.example"], b"https://A.Example"),
        ([".a.example"], b"https://b.a.example"),
        (["*"], b"https://c.example"),
        (["[::1]"], b"http://[::1]:8000"),
    ],
)
def test_given_a_host_of_the_site_expect_the_consumer_run(settings: Any, hosts: list[str], origin: bytes) -> None:
    """Item 173."""
    settings.ALLOWED_HOSTS = hosts
    assert connect(from_page(origin), room="a") == {"room": "a"}


@pytest.mark.parametrize(
    "origins",
    [
        (b"https://evil.example",),
        (b"https://a.example.evil.example",),
        (b"https://a.example@evil.example",),
        (b"https://b.a.example",),
        (b"null",),
        (b"",),
        (b"a.example",),
        (b"https://",),
        (b"http://[::1",),
        ("https://ä.example".encode(),),
        (b"https://a.example", b"https://evil.example"),
        (),
    ],
)
def test_given_another_or_no_origin_expect_it_denied(settings: Any, origins: tuple[bytes, ...]) -> None:
    """Items 173 and 175."""
    settings.ALLOWED_HOSTS = ["a.example"]
    with pytest.raises(DenyConnection):
        connect(from_page(*origins))


@pytest.mark.parametrize("origin", [b"null", b"", b"a.example", b"https://"])
def test_given_every_host_allowed_expect_what_names_none_denied_all_the_same(settings: Any, origin: bytes) -> None:
    """Item 175: a page in a sandbox, or a file, says "null"."""
    settings.ALLOWED_HOSTS = ["*"]
    with pytest.raises(DenyConnection):
        connect(from_page(origin))


@pytest.mark.parametrize("content", [{}, {"headers": None}, {"headers": [[b"origin"]]}])
def test_given_no_headers_expect_it_denied(content: dict[str, Any]) -> None:
    """Item 175."""
    with pytest.raises(DenyConnection):
        connect(make_message("websocket.connect", **content))


@pytest.mark.parametrize("origin", [b"http://localhost:3000", b"http://127.0.0.1", b"http://[::1]:8000"])
def test_given_debug_and_no_hosts_expect_this_machine_welcome(settings: Any, origin: bytes) -> None:
    """Item 174."""
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []
    assert connect(from_page(origin)) == {}
    with pytest.raises(DenyConnection):
        connect(from_page(b"http://a.example"))
    settings.DEBUG = False
    with pytest.raises(DenyConnection):
        connect(from_page(origin))


class OnlySecure(BaseOriginValidator):
    """A rule of one's own."""

    def validate_origin(self, message: Message, origin: str) -> bool:
        return origin.startswith("https:") and message["path"] == "/"


def test_given_a_rule_of_one_s_own_expect_it_asked() -> None:
    """Item 176."""
    consumer = OnlySecure(lambda message: "welcome")
    assert consumer(from_page(b"https://any.example")) == "welcome"
    with pytest.raises(DenyConnection):
        consumer(from_page(b"http://any.example"))


def test_given_no_rule_expect_not_implemented() -> None:
    """Defect 9: 1.1.8 raised TypeError."""
    with pytest.raises(NotImplementedError, match="BaseOriginValidator must define validate_origin"):
        BaseOriginValidator(lambda message: None)(from_page(b"https://a.example"))


class Consumers:
    @OnlySecure
    def method(self, message: Message) -> object:
        return self

    @OnlySecure
    async def async_method(self, message: Message) -> object:
        return self


def test_given_methods_and_async_functions_expect_them_to_work() -> None:
    consumers = Consumers()
    assert consumers.method(from_page(b"https://a.example")) is consumers
    assert run_async(consumers.async_method, from_page(b"https://a.example")) is consumers
    assert iscoroutinefunction(consumers.async_method), "decorators around it await it"
    others = Consumers().method
    assert consumers.method(from_page(b"https://a.example")) is consumers
    assert others(from_page(b"https://a.example")) is not consumers, "it stays that of its own instance"
    for method in (consumers.method, consumers.async_method):
        with pytest.raises(DenyConnection):
            method(from_page(b"http://a.example"))


def test_names_are_those_of_1_x() -> None:
    assert allowed_hosts_only is AllowedHostsOnlyOriginValidator
    assert connect.__name__ == "connect"
    assert connect.__doc__ == "Welcome."
    assert connect.get_header(from_page(b"a"), b"origin") == [b"a"]
    with pytest.raises(KeyError):
        connect.get_header(from_page(), b"origin")
