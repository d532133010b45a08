"""Requests as messages, answered by consumers and by Django's views (items 90 to 107)."""

from collections.abc import Iterator
from unittest.mock import patch

from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from channelcelery import Channel, channel_layers
from channelcelery.core.names import reply_address
from channelcelery.test import ChannelTestCase, Client, WSClient


def echo(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(f"{request.method} {request.GET.get('a')} {request.body.decode()}", status=201)
    response["X-Host"] = request.headers.get("X-Mine", "")
    return response


def user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.COOKIES.get("sessionid", ""))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        for number in range(30):
            yield b"%d," % number

    return StreamingHttpResponse(parts())


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("on purpose")


urlpatterns = [path("echo/", echo), path("user/", user), path("stream/", stream), path("broken/", broken)]

REQUEST = {"method": "POST", "path": "/echo/", "query_string": b"a=1", "http_version": "1.1"}


@override_settings(ROOT_URLCONF="tests.unit.test.test_http", MIDDLEWARE=[])
class TestViews(ChannelTestCase):
    """Item 105: requests that no route is for."""

    def test_a_response(self) -> None:
        client = Client()
        client.send_and_consume("http.request", {**REQUEST, "body": b"text", "headers": [[b"x-mine", b"yes"]]})
        response = client.receive()
        assert (response["status"], response["content"]) == (201, b"POST 1 text")
        assert [b"X-Host", b"yes"] in response["headers"]
        assert not response.get("more_content")
        assert client.receive() is None

    def test_a_browser_s(self) -> None:
        client = WSClient()
        client.set_cookie("a", "b")
        client.send_and_consume("http.request", {"method": "GET", "http_version": "1.1"}, path="/user/")
        assert client.receive()["content"].decode() == client._browser_session().session_key

    def test_a_body_in_pieces(self) -> None:
        client = Client()
        Channel("the-body").send({"content": b"more ", "more_content": True})
        Channel("the-body").send({"content": b"text", "more_content": False})
        client.send_and_consume("http.request", {**REQUEST, "body": b"some ", "body_channel": "the-body"})
        assert client.receive()["content"] == b"POST 1 some more text"

    def test_a_stream_of_more_pieces_than_may_be_under_way(self) -> None:
        """Expect no waiting for a reader, since the test reads when the consumer has ended."""
        client = Client()
        client.send_and_consume("http.request", {"method": "GET", "path": "/stream/", "http_version": "1.1"})
        pieces = []
        while (piece := client.receive()) is not None:
            pieces.append(piece)
        assert pieces[0]["status"] == 200
        assert b"".join(piece.get("content", b"") for piece in pieces) == b"".join(b"%d," % n for n in range(30))
        assert [bool(piece.get("more_content")) for piece in pieces][-1:] == [False]

    @override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
    def test_the_host_is_that_of_tests(self) -> None:
        """As in Django's test client; without one CommonMiddleware answers 400."""
        for client in (Client(), WSClient()):
            client.send_and_consume("http.request", {**REQUEST, "method": "GET"})
            assert client.receive()["status"] == 201

    def test_the_database_s_connection_stays_open(self) -> None:
        """Item 218: Django's signals of a request close it elsewhere."""
        client = Client()
        with patch.object(connection, "close") as close:
            client.send_and_consume("http.request", {"method": "GET", "path": "/user/", "http_version": "1.1"})
        close.assert_not_called()
        assert request_finished.disconnect(close_old_connections)
        request_finished.connect(close_old_connections)

    def test_an_error_in_a_view(self) -> None:
        client = Client()
        client.send_and_consume("http.request", {"method": "GET", "path": "/broken/", "http_version": "1.1"})
        assert client.receive()["status"] == 500

    def test_a_page_that_is_not_there(self) -> None:
        client = Client()
        client.send_and_consume("http.request", {"method": "GET", "path": "/nowhere/", "http_version": "1.1"})
        assert client.receive()["status"] == 404


class TestPieces(ChannelTestCase):
    """Item 107."""

    def test_there_is_always_leave_to_send_more(self) -> None:
        address = reply_address(Client().reply_channel)
        assert all(channel_layers["default"].pieces.take_credits(address, 0) > 0 for _ in range(3))
