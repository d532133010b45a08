"""Which handshakes are answered (Channels 1.x, items 173 to 177, but on by default)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.interface.origins import Origins, origins_of
from tests.unit.interface.fakes import make_config

HOSTS = ["example.org", ".wild.test", "[2001:db8::1]"]
HOST = (b"host", b"example.org")
COOKIE = (b"cookie", b"sessionid=x")


def refusal(*headers: tuple[bytes, bytes], hosts: list[str] = HOSTS, origins: list[str] | None = None) -> str | None:
    return Origins(hosts, hosts if origins is None else origins).refusal(headers)


@pytest.mark.parametrize(
    "origin",
    [
        b"https://example.org",
        b"http://example.org",
        b"https://EXAMPLE.org",
        b"https://example.org:8443",
        b"https://example.org.",
        b"https://wild.test",
        b"https://a.wild.test",
        b"https://a.b.wild.test:1",
        b"http://[2001:db8::1]:8000",
        b"capacitor://example.org",
    ],
)
def test_welcome_origins(origin: bytes) -> None:
    assert refusal(HOST, (b"origin", origin)) is None
    assert refusal(HOST, COOKIE, (b"Origin", origin)) is None


@pytest.mark.parametrize(
    ("allowed", "origin", "welcome"),
    [
        ("xn--bcher-kva.example", b"https://xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", b"https://XN--BCHER-KVA.example:443", True),
        (".xn--bcher-kva.example", b"https://shop.xn--bcher-kva.example", True),
        # as people write it, which no browser sends
        ("xn--bcher-kva.example", "https://bücher.example".encode(), False),
        ("bücher.example", b"https://xn--bcher-kva.example", False),
        # an "a" that is Cyrillic looks the same in the address line, and is another name
        ("example.org", b"https://xn--exmple-4nf.org", False),
        ("xn--bcher-kva.example", b"https://bcher-kva.example", False),
        ("xn--bcher-kva.example", b"https://xn--bcher-kva.example.evil.test", False),
    ],
)
def test_international_names_are_as_browsers_send_them(allowed: str, origin: bytes, welcome: bool) -> None:
    assert (refusal(HOST, COOKIE, (b"origin", origin), origins=[allowed]) is None) is welcome


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"null",
        b"NULL",
        b"*",
        b"example.org",
        b"//example.org",
        b"://example.org",
        b"https:example.org",
        b"https:/example.org",
        b"https://",
        b"https://evil.test",
        b"https://example.org.evil.test",
        b"https://evilexample.org",
        b"https://wild.test.evil.test",
        b"https://evilwild.test",
        b"https://sub.example.org",
        b"https://example.org@evil.test",
        b"https://evil.test@example.org",
        b"https://evil.test/example.org",
        b"https://example.org/",
        b"https://example.org/.evil.test",
        b"https://evil.test#example.org",
        b"https://evil.test?example.org",
        b"https://evil.test\\example.org",
        b"https://evil.test\\.example.org",
        b"https://example.org:evil.test",
        b"https://example.org:80:80",
        b"https://example.org:",
        b"https://example.org, https://evil.test",
        b"https://evil.test, https://example.org",
        b"https://example.org https://evil.test",
        b" https://example.org",
        b"https://example.org ",
        b"https:// example.org",
        b"https://example.org\tx",
        b"https://%65xample.org",
        b"https://ex\xc3\xa4mple.org",
        b"https://example\xe3\x80\x82org",
        b"https://\xff",
        b"http\xff://example.org",
        b"javascript:alert(1)//example.org",
        b"1https://example.org",
        b"https://[2001:db8::1",
        b"https://[2001:db8::1]x",
        b"https://2001:db8::1",
        b"https://.",
        b"https://.wild.test/",
    ],
)
def test_origins_that_are_refused(origin: bytes) -> None:
    assert refusal(HOST, (b"origin", origin)) is not None


@pytest.mark.parametrize("value", [b"a\x00b", b"a\rb", b"a\nb", b"a\r\nhost: example.org", b"\x1b[2J", b"\x7f"])
@pytest.mark.parametrize("name", [b"host", b"origin", b"cookie", b"x-anything"])
def test_control_characters_are_refused_in_any_header(name: bytes, value: bytes) -> None:
    assert "control characters" in str(refusal(HOST, (name, value)))


def test_a_tab_is_no_attack() -> None:
    assert refusal(HOST, (b"user-agent", b"a\tb")) is None


def test_a_missing_origin_is_for_clients_without_cookies() -> None:
    assert refusal(HOST) is None
    assert "no Origin" in str(refusal(HOST, COOKIE))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [HOST, (b"Host", b"evil.test")],
        [(b"host", b"evil.test")],
        [(b"host", b"")],
        [(b"host", b"example.org/")],
        [(b"host", b"user@example.org")],
        [(b"host", b"example.org, evil.test")],
        [(b"host", b"\xff")],
        [HOST, (b"origin", b"https://example.org"), (b"origin", b"https://example.org")],
        [HOST, (b"origin", b"https://example.org"), (b"Origin", b"https://evil.test")],
    ],
)
def test_other_headers_that_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal(*headers) is not None


def test_host_with_port_and_in_capitals() -> None:
    assert refusal((b"host", b"EXAMPLE.org:8000")) is None


def test_headers_are_limited_in_size() -> None:
    assert refusal(HOST, (b"x-long", b"a" * (64 * 1024 - 100))) is None
    assert "more than" in str(refusal(HOST, *[(b"x-long", b"a" * 1000)] * 70))
    assert refusal(HOST, *[(b"x", b"")] * 127) is None
    assert "more than" in str(refusal(HOST, *[(b"x", b"")] * 128))


def test_what_goes_to_the_log_is_short_and_escaped() -> None:
    reason = str(refusal(HOST, (b"origin", b"https://evil\xff" * 5000)))
    assert len(reason) < 300
    assert reason.isascii()


def test_star_lets_any_readable_origin_in() -> None:
    assert refusal(HOST, (b"origin", b"https://any.test"), hosts=["*"]) is None
    assert refusal(HOST, (b"origin", b"null"), hosts=["*"]) is not None


def test_allowed_origins_count_rather_than_hosts() -> None:
    assert refusal(HOST, (b"origin", b"https://app.test"), origins=["app.test"]) is None
    assert refusal(HOST, (b"origin", b"https://example.org"), origins=["app.test"]) is not None
    assert refusal(HOST, (b"origin", b"https://example.org"), origins=[]) is not None
    assert refusal((b"host", b"app.test"), origins=["app.test"]) is not None, "they say nothing of Host"


@given(st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"cookie", b"x"]), st.binary(max_size=40)), max_size=5))
def test_any_headers_get_an_answer(headers: list[tuple[bytes, bytes]]) -> None:
    assert isinstance(refusal(*headers), str | None)


@pytest.mark.parametrize(
    ("debug", "hosts", "allowed", "expected"),
    [
        (False, ["a.test"], None, (["a.test"], ["a.test"])),
        (False, [], None, ([], [])),
        (True, [], None, ([".localhost", "127.0.0.1", "[::1]"], [".localhost", "127.0.0.1", "[::1]"])),
        (True, ["a.test"], None, (["a.test"], ["a.test"])),
        (False, ["a.test"], ["b.test"], (["a.test"], ["b.test"])),
        (False, ["a.test"], [], (["a.test"], [])),
    ],
)
def test_settings(
    settings: Any,
    debug: bool,
    hosts: list[str],
    allowed: list[str] | None,
    expected: tuple[list[str], list[str]],
) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = debug, hosts
    found = origins_of(make_config(allowed_origins=allowed))
    assert (list(found.hosts), list(found.origins)) == expected


def test_a_proxy_that_django_trusts_is_trusted_here(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    proxied = [(b"host", b"10.0.0.1"), (b"x-forwarded-host", b"example.org")]
    assert origins_of(make_config()).refusal(proxied) is not None
    settings.USE_X_FORWARDED_HOST = True
    assert origins_of(make_config()).refusal(proxied) is None
    assert origins_of(make_config()).refusal([HOST]) is None
    assert origins_of(make_config()).refusal([HOST, (b"x-forwarded-host", b"evil.test")]) is not None
    assert origins_of(make_config()).refusal([HOST, HOST, (b"x-forwarded-host", b"example.org")]) is not None
