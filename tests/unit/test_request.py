"""`AsgiRequest`: what Django's views see of a message (Channels 1.x, items 90, 91 and 98 to 103)."""

import time
from collections.abc import Iterator
from typing import IO, Any

import pytest
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest
from django.test import override_settings

from channelcelery import request as request_module
from channelcelery.exceptions import RequestAborted, RequestTimeout
from channelcelery.request import AsgiRequest
from tests.fakes import FakeLayer
from tests.unit.http_requests import ADDRESS, REPLY, feed, http_message
from tests.unit.sockets import connect_message

MULTIPART = (
    b"--BOUND\r\n"
    b'Content-Disposition: form-data; name="title"\r\n\r\n'
    b"Fl\xc3\xb6te\r\n"
    b"--BOUND\r\n"
    b'Content-Disposition: form-data; name="score"; filename="score.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n"
    b"do re mi\r\n"
    b"--BOUND--\r\n"
)
FORM = [[b"content-type", b"multipart/form-data; boundary=BOUND"], [b"content-length", b"%d" % len(MULTIPART)]]
URLENCODED = [b"content-type", b"application/x-www-form-urlencoded"]


@pytest.fixture(autouse=True)
def bodies_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the bodies of requests, as a handler does."""
    bodies: list[IO[bytes]] = []
    read_body = request_module._read_body

    def read(*arguments: Any) -> IO[bytes]:
        bodies.append(read_body(*arguments))
        return bodies[-1]

    monkeypatch.setattr(request_module, "_read_body", read)
    yield
    for body in bodies:
        body.close()


def pieces_of(body: bytes, size: int) -> list[dict[str, Any]]:
    """Cut a body into the messages of item 91."""
    starts = range(0, len(body), size)
    return [{"content": body[start : start + size], "more_content": start + size < len(body)} for start in starts]


class TestWhatViewsSee:
    def test_it_is_django_s_request_with_the_message(self) -> None:
        """Item 98."""
        message = http_message("/page/")
        request = AsgiRequest(message)
        assert isinstance(request, HttpRequest)
        assert request.message is message
        assert request.reply_channel is message.reply_channel
        assert (request.method, request.path, request.path_info) == ("GET", "/page/", "/page/")

    def test_meta(self) -> None:
        """Item 99."""
        headers = [[b"host", b"example.com"], [b"x-one", b"caf\xe9"], [b"content-type", b"text/plain"]]
        request = AsgiRequest(http_message("/p\xe4th", method="post", query_string=b"a=%20b", headers=headers))
        expected = {
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "a=%20b",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/p\xe4th",
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "REMOTE_ADDR": "10.1.2.3",
            "REMOTE_HOST": "10.1.2.3",
            "REMOTE_PORT": 4321,
            "SERVER_NAME": "example.com",
            "SERVER_PORT": "80",
            "CONTENT_TYPE": "text/plain",
            "HTTP_HOST": "example.com",
            "HTTP_X_ONE": "caf\xe9",
        }
        assert expected == request.META
        assert request.headers["X-One"] == "caf\xe9"

    def test_without_addresses(self) -> None:
        """Item 99. Given a server on a Unix socket: expect no client, and a name that says so."""
        request = AsgiRequest(http_message(client=None, server=None))
        assert not [key for key in request.META if key.startswith("REMOTE_")]
        assert (request.META["SERVER_NAME"], request.META["SERVER_PORT"]) == ("unknown", "0")

    @pytest.mark.parametrize(
        ("path", "root", "info"),
        [
            ("/app/page", "/app", "/page"),
            ("/app/page", "/app/", "/page"),
            ("/app", "/app", "/"),
            ("/app/", "/app", "/"),
            ("/apple", "/app", "/apple"),
            ("/other", "/app", "/other"),
            ("/app/page", "", "/app/page"),
            ("/app/page", "/", "/app/page"),
        ],
    )
    def test_the_root_is_cut_off_at_a_slash(self, path: str, root: str, info: str) -> None:
        """Item 99, defect 13."""
        request = AsgiRequest(http_message(path, root_path=root))
        assert (request.path, request.path_info, request.META["PATH_INFO"]) == (path, info, info)
        assert request.META["SCRIPT_NAME"] == root

    @override_settings(FORCE_SCRIPT_NAME="/forced")
    def test_a_forced_script_name_wins(self) -> None:
        request = AsgiRequest(http_message("/forced/page", root_path="/app"))
        assert (request.path_info, request.META["SCRIPT_NAME"]) == ("/page", "/forced")

    def test_repeated_headers_are_joined_and_cookies_in_their_own_way(self) -> None:
        """Item 100, defect 13."""
        headers = [[b"accept", b"a"], [b"cookie", b"x=1; y=2"], [b"accept", b"b"], [b"cookie", b"z=3"]]
        request = AsgiRequest(http_message(headers=headers))
        assert request.META["HTTP_ACCEPT"] == "a,b"
        assert request.META["HTTP_COOKIE"] == "x=1; y=2; z=3"
        assert request.COOKIES == {"x": "1", "y": "2", "z": "3"}

    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": b"a", "content-type": b"text/plain", "cookie": b"x=1"},
            {b"host": b"a", b"content-type": b"text/plain", b"cookie": b"x=1"},
            [["host", "a"], (b"Content-Type", b"text/plain"), [b"Cookie", "x=1"]],
        ],
    )
    def test_headers_as_tests_of_1x_have_them(self, headers: Any) -> None:
        """Item 102."""
        request = AsgiRequest(http_message(headers=headers))
        assert (request.META["HTTP_HOST"], request.content_type) == ("a", "text/plain")
        assert request.COOKIES == {"x": "1"}

    def test_headers_with_underscores_do_not_pass_for_others(self) -> None:
        """Item 111."""
        request = AsgiRequest(http_message(headers=[[b"x_user", b"root"], [b"x-user", b"me"]]))
        assert request.META["HTTP_X_USER"] == "me"

    @pytest.mark.parametrize(
        ("scheme", "secure"), [("http", False), ("https", True), (None, False), ("ws", False), ("wss", True)]
    )
    def test_is_secure(self, scheme: str | None, secure: bool) -> None:
        """Item 101, and defect 13 for a socket."""
        assert AsgiRequest(http_message(scheme=scheme)).is_secure() is secure

    @override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))
    def test_is_secure_behind_a_proxy(self) -> None:
        for said, secure in ((b"https", True), (b"http", False)):
            request = AsgiRequest(http_message(scheme="wss", headers=[[b"x-forwarded-proto", said]]))
            assert request.is_secure() is secure

    def test_of_a_handshake(self) -> None:
        """Item 98: projects of 1.x parse what a connect message has of a request, too; http_session named a method."""
        request = AsgiRequest(connect_message(cookie="abc", query=b"token=5", scheme="wss"))
        assert (request.method, request.path, request.GET["token"], request.is_secure()) == ("GET", "/", "5", True)
        assert request.COOKIES == {"sessionid": "abc"}

    def test_get_and_charset(self) -> None:
        """Item 101."""
        request = AsgiRequest(http_message(query_string=b"a=1&a=2&b=%C3%A4"))
        assert request.GET.getlist("a") == ["1", "2"]
        assert request.GET["b"] == "\xe4"
        typed = [[b"content-type", b"application/x-www-form-urlencoded; charset=latin-1"]]
        assert AsgiRequest(http_message(headers=typed)).encoding == "latin-1"
        unknown = [[b"content-type", b"text/plain; charset=nothing"]]
        assert AsgiRequest(http_message(headers=unknown)).encoding is None

    def test_a_message_with_the_least_keys(self) -> None:
        """Item 90: those with defaults may be missing, as in messages of Channels 1.x."""
        message = http_message()
        message.content = {"reply_channel": REPLY, "http_version": "1.1", "method": "GET", "path": "/test/"}
        request = AsgiRequest(message)
        assert (request.path, request.body, dict(request.GET)) == ("/test/", b"", {})

    @pytest.mark.parametrize("wrong", [{"headers": [5]}, {"headers": 5}, {"headers": [[b"a", 5]]}, {"body": "text"}])
    def test_a_malformed_message_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadRequest):
            AsgiRequest(http_message(**wrong))

    def test_a_query_that_is_no_text_is_refused(self) -> None:
        """Item 104."""
        with pytest.raises(UnicodeDecodeError):
            AsgiRequest(http_message(query_string=b"a=\xff"))


class TestBody:
    def test_within_the_message(self) -> None:
        request = AsgiRequest(http_message(method="POST", headers=[URLENCODED], body=b"a=1&b=2"))
        assert request.body == b"a=1&b=2"
        assert request.POST.dict() == {"a": "1", "b": "2"}

    def test_read_as_a_stream(self) -> None:
        """Item 101."""
        request = AsgiRequest(http_message(method="POST", body=b"one\ntwo"))
        assert (request.read(2), request.readline(), request.read()) == (b"on", b"e\n", b"two")

    @pytest.mark.parametrize("size", [1, 7, 40, 1_000])
    def test_multipart_in_pieces(self, size: int) -> None:
        """Items 91 and 101."""
        layer = FakeLayer()
        channel = f"body-{size}"
        for piece in pieces_of(MULTIPART, size):
            layer.send(channel, piece)
        request = AsgiRequest(http_message(layer=layer, method="POST", headers=FORM, body_channel=channel))
        assert request.POST["title"] == "Fl\xf6te"
        score: Any = request.FILES["score"]
        assert score.read() == b"do re mi"

    def test_what_is_in_the_message_comes_first(self) -> None:
        """Item 91."""
        layer = FakeLayer()
        channel = feed(layer, {"content": b"2&b", "more_content": True}, {"content": b"=3"})
        message = http_message(layer=layer, method="POST", headers=[URLENCODED], body=b"a=", body_channel=channel)
        assert AsgiRequest(message).POST.dict() == {"a": "2", "b": "3"}

    def test_the_interface_process_is_asked_once_where_the_pieces_are_there(self) -> None:
        """Given a body that comes when it is asked for: expect one question, which passes a full inbox."""
        layer = FakeLayer()
        deliver = layer.replies.deliver

        def answer(sends: Any) -> Any:
            feed(layer, {"content": b"a", "more_content": True}, {"content": b"b"})
            return deliver(sends)

        layer.replies.deliver = answer  # type: ignore[method-assign]
        request = AsgiRequest(http_message(layer=layer, body_channel=ADDRESS.body_channel()))
        assert request.body == b"ab"
        assert layer.replies.delivered == [(REPLY, {"send_body": True})]
        assert layer.replies.controls == [REPLY]

    def test_a_piece_without_content_is_empty(self) -> None:
        """Defect 12."""
        layer = FakeLayer()
        channel = feed(layer, {"more_content": True}, {"content": None, "more_content": True}, {"content": b"x"})
        assert AsgiRequest(http_message(layer=layer, body_channel=channel)).body == b"x"

    def test_a_piece_of_text_is_an_error(self) -> None:
        """Defect 12."""
        layer = FakeLayer()
        with pytest.raises(BadRequest, match="bytes"):
            AsgiRequest(http_message(layer=layer, body_channel=feed(layer, {"content": "text"})))

    def test_a_piece_that_cannot_be_read_gives_the_request_up(self, caplog: pytest.LogCaptureFixture) -> None:
        layer = FakeLayer()
        assert layer.pieces.put_body(ADDRESS, b"\xc1")
        with pytest.raises(RequestAborted):
            AsgiRequest(http_message(layer=layer, body_channel=ADDRESS.body_channel()))
        assert "cannot be read" in caplog.text

    def test_closed_gives_the_request_up(self) -> None:
        """Item 91."""
        layer = FakeLayer()
        channel = feed(layer, {"content": b"a", "more_content": True}, {"closed": True})
        with pytest.raises(RequestAborted):
            AsgiRequest(http_message(layer=layer, body_channel=channel))

    def test_a_dead_interface_process_gives_the_request_up(self) -> None:
        layer = FakeLayer()
        layer.nodes.clear()
        begun = time.monotonic()
        with pytest.raises(RequestAborted):
            AsgiRequest(http_message(layer=layer, body_channel=ADDRESS.body_channel()))
        assert time.monotonic() - begun < 10

    def test_without_a_piece_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Item 103: after a minute, unless a subclass says otherwise; and defect 12: it waits without looking often."""
        assert AsgiRequest.body_receive_timeout == 60
        monkeypatch.setattr(AsgiRequest, "body_receive_timeout", 0.1)
        layer = FakeLayer()
        looks: list[float] = []
        take_piece = layer.take_piece
        layer.take_piece = lambda *given: (looks.append(time.monotonic()), take_piece(*given))[1]  # type: ignore[method-assign]
        channel = feed(layer, {"content": b"a", "more_content": True})
        with pytest.raises(RequestTimeout):
            AsgiRequest(http_message(layer=layer, body_channel=channel))
        assert len(looks) <= 4

    def test_the_whole_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Defect 12."""
        # else a body without a limit would be waited for
        monkeypatch.setattr(AsgiRequest, "body_receive_timeout", 0.5)
        layer = FakeLayer(body_size=10)
        channel = feed(layer, *[{"content": b"12345", "more_content": True}] * 3)
        with pytest.raises(RequestDataTooBig, match="body_size"):
            AsgiRequest(http_message(layer=layer, body_channel=channel))

    def test_large_ones_are_on_disk(self) -> None:
        layer = FakeLayer()
        channel = feed(layer, *pieces_of(b"x" * 3_000_000, 1_000_000))
        request: Any = AsgiRequest(http_message(layer=layer, body_channel=channel))
        assert request._stream._rolled
        assert len(request.read()) == 3_000_000
        request.close()
        assert request._stream.closed
