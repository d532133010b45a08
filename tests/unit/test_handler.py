"""`AsgiHandler` and `ViewConsumer`: views answer messages (Channels 1.x, items 96 and 104 to 113)."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import get_script_prefix

from channelcelery.channel import collect_sends
from channelcelery.exceptions import ResponseLater
from channelcelery.handler import AsgiHandler, AsgiRequest, ViewConsumer, _loaded
from channelcelery.layers.pieces import GONE, MAX_PIECES
from channelcelery.message import Message
from channelcelery.staticfiles import StaticFilesConsumer, StaticFilesHandler
from tests.fakes import FakeLayer
from tests.servers import wait_until
from tests.unit.http_requests import ADDRESS, REPLY, feed, http_message
from tests.unit.web_project import events, loops

URLCONF = "tests.unit.web_project"
MIDDLEWARE = ["tests.unit.web_project.note_events"]


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    """A project with one middleware, none of which is loaded; connections to the database are left alone."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    with override_settings(ROOT_URLCONF=URLCONF, MIDDLEWARE=MIDDLEWARE):
        _loaded.clear()
        events.clear()
        loops.clear()
        yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    _loaded.clear()


def replies_to(message: Message) -> list[dict[str, Any]]:
    return list(AsgiHandler()(message))


def body_of(replies: list[dict[str, Any]]) -> bytes:
    assert "status" in replies[0]
    assert [each["more_content"] for each in replies] == [True] * (len(replies) - 1) + [False]
    assert not any("status" in each or "headers" in each for each in replies[1:])
    return b"".join(each.get("content", b"") for each in replies)


class TestAnswers:
    @pytest.mark.parametrize("way", [lambda message: AsgiHandler()(message), AsgiHandler])
    def test_both_ways_give_replies(self, way: Callable[[Message], Any]) -> None:
        """Item 105."""
        (reply,) = list(way(http_message("/plain/")))
        assert reply["status"] == 200
        assert (reply["content"], reply["more_content"]) == (b"plain GET", False)
        assert reply["headers"] == [
            (b"X-One", b"caf\xe9"),
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Set-Cookie", b"a=1; Path=/"),
            (b"Set-Cookie", b"b=2; Path=/"),
        ]
        assert events == ["middleware loaded", "before", "after"]

    def test_a_handler_without_a_message_cannot_be_iterated(self) -> None:
        with pytest.raises(TypeError, match="message"):
            iter(AsgiHandler())

    def test_middleware_is_loaded_once_whoever_comes_first(self) -> None:
        """Item 105. Given threads that begin together: expect one load."""
        start = threading.Barrier(4)
        bodies: list[bytes] = []

        def answer() -> None:
            start.wait()
            bodies.extend(body_of(replies_to(http_message("/plain/"))) for _ in range(5))

        threads = [threading.Thread(target=answer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bodies == [b"plain GET"] * 20
        assert events.count("middleware loaded") == 1

    def test_nothing_is_loaded_before_the_first_request(self) -> None:
        ViewConsumer()
        assert events == []

    @pytest.mark.parametrize("path", ["/plain/", "/later/", "/fails/", "/streams/?parts=2"])
    def test_signals(self, path: str) -> None:
        """Item 105: each request begins and ends once, and the end comes last."""
        path, _, query = path.partition("?")
        message = http_message(path, query_string=query.encode())

        def started(**kwargs: Any) -> None:
            assert kwargs["message"] is message
            events.append("started")

        def finished(**kwargs: Any) -> None:
            events.append("finished")

        request_started.connect(started)
        request_finished.connect(finished)
        try:
            replies_to(message)
        finally:
            request_started.disconnect(started)
            request_finished.disconnect(finished)
        assert (events.count("started"), events.count("finished")) == (1, 1)
        assert events[-1] == "finished"

    def test_post(self) -> None:
        headers = [[b"content-type", b"application/x-www-form-urlencoded"]]
        replies = replies_to(http_message("/posted/", method="POST", headers=headers, body=b"a=1"))
        assert body_of(replies) == b'{"data": {"a": "1"}, "files": []}'

    def test_async_views(self) -> None:
        """Item 113."""
        assert body_of(replies_to(http_message("/awaits/"))) == b"awaited"

    def test_the_script_prefix_is_the_request_s_and_no_longer(self) -> None:
        """Item 99."""
        assert body_of(replies_to(http_message("/app/where/", root_path="/app"))) == b"/app/where/"
        assert get_script_prefix() == "/"
        with override_settings(FORCE_SCRIPT_NAME="/forced"):
            assert body_of(replies_to(http_message("/forced/where/"))) == b"/forced/where/"


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status"), [("/none/", 404), ("/fails/", 500), ("/denied/", 403), ("/suspicious/", 400)]
    )
    def test_of_views_are_answered_by_django(self, path: str, status: int) -> None:
        """Item 109."""
        assert replies_to(http_message(path))[0]["status"] == status

    def test_of_the_page_for_errors_are_answered_in_plain_text(self) -> None:
        """Item 109."""
        with override_settings(ROOT_URLCONF="tests.unit.web_project_broken"):
            (reply,) = replies_to(http_message("/fails/"))
            assert (reply["status"], reply["content"]) == (500, b"Internal Server Error")

    def test_of_the_page_for_errors_are_shown_where_django_is_debugged(self) -> None:
        """Item 109: the traceback of the page, and of the view that it was for."""
        with override_settings(DEBUG=True, DEFAULT_EXCEPTION_REPORTER="tests.unit.none.Reporter"):
            (reply,) = replies_to(http_message("/fails/"))
        assert told(reply)[:2] == (500, "text/plain")
        assert b"tests.unit.none" in reply["content"]
        assert b"RuntimeError: on purpose" in reply["content"]

    def test_debug_propagates(self) -> None:
        with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(RuntimeError):
            replies_to(http_message("/fails/"))

    @pytest.mark.parametrize("wrong", [{"query_string": b"\xff"}, {"headers": [5]}])
    def test_requests_that_cannot_be_understood(self, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        """Item 104."""
        assert replies_to(http_message("/plain/", **wrong))[0]["status"] == 400
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("django.request", "WARNING")

    def test_a_body_that_does_not_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Item 103."""
        monkeypatch.setattr(AsgiRequest, "body_receive_timeout", 0.05)
        (reply,) = replies_to(http_message("/posted/", body_channel=ADDRESS.body_channel()))
        assert told(reply) == (408, "text/plain", b"408 Request Timeout (upload too slow)")

    def test_a_body_above_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(AsgiRequest, "body_receive_timeout", 0.5)
        layer = FakeLayer(body_size=1)
        message = http_message("/posted/", layer=layer, body_channel=feed(layer, {"content": b"ab"}))
        (reply,) = replies_to(message)
        assert told(reply) == (413, "text/plain", b"413 Payload Too Large")

    def test_a_client_that_left_gets_nothing(self) -> None:
        """Item 91."""
        layer = FakeLayer()
        message = http_message("/posted/", layer=layer, body_channel=feed(layer, {"closed": True}))
        assert replies_to(message) == []
        assert "before" not in events

    @pytest.mark.parametrize("path", ["/later/", "/later_async/"])
    def test_a_response_that_comes_later(self, path: str) -> None:
        """Item 108: middleware is not asked about it as an error, and does its work on the way back."""
        assert AsgiRequest.ResponseLater is ResponseLater
        assert replies_to(http_message(path)) == []
        assert events == ["middleware loaded", "before", "after"]


class TestEncodeResponse:
    """Items 96 and 106."""

    @pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (524_288, 1), (524_289, 2), (1_600_000, 4)])
    def test_long_ones_are_cut(self, size: int, count: int) -> None:
        replies = list(AsgiHandler.encode_response(HttpResponse(b"x" * size)))
        assert len(replies) == count
        assert body_of(replies) == b"x" * size
        assert max(len(each["content"]) for each in replies) <= 524_288

    def test_by_hand(self) -> None:
        """Item 96."""
        layer = FakeLayer()
        message = http_message(layer=layer)
        assert message.reply_channel is not None
        for chunk in AsgiHandler.encode_response(HttpResponse("hello", status=201)):
            message.reply_channel.send(chunk)
        ((name, reply),) = layer.replies.delivered
        assert (name, reply["status"], reply["content"]) == (REPLY, 201, b"hello")

    def test_streams(self) -> None:
        replies = list(AsgiHandler.encode_response(StreamingHttpResponse(["a", "b"])))
        assert [each.get("content") for each in replies] == [b"a", b"b", None]
        assert body_of(replies) == b"ab"

    def test_an_empty_stream(self) -> None:
        (reply,) = AsgiHandler.encode_response(StreamingHttpResponse([]))
        assert (reply["status"], reply["more_content"]) == (200, False)

    def test_long_parts_are_cut(self) -> None:
        replies = list(AsgiHandler.encode_response(StreamingHttpResponse([b"x" * 600_000, b"y"])))
        assert [len(each.get("content", b"")) for each in replies] == [524_288, 75_712, 1, 0]

    def test_files_come_in_large_parts(self) -> None:
        replies = replies_to(http_message("/downloads/"))
        assert [len(each.get("content", b"")) for each in replies] == [524_288, 524_288, 151_424, 0]

    def test_a_layer_that_takes_little_gets_little(self) -> None:
        layer = FakeLayer(message_size=10_000)
        replies = replies_to(http_message("/large/", layer=layer, query_string=b"size=12000"))
        assert [len(each["content"]) for each in replies] == [5_000, 5_000, 2_000]

    def test_asynchronous_streams_are_made_part_by_part_in_one_loop(self) -> None:
        """Item 113."""
        replies = AsgiHandler()(http_message("/streams_async/", query_string=b"parts=3"))
        assert next(replies)["content"] == b"0,"
        assert events[-1] == "part 0"
        assert [each.get("content") for each in replies] == [b"1,", b"2,", None]
        assert len(set(loops)) == 1
        assert events[-1] == "stream closed"

    @pytest.mark.parametrize("view", ["streams", "streams_async"])
    def test_a_stream_that_is_given_up_is_closed(self, view: str) -> None:
        replies = AsgiHandler()(http_message(f"/{view}/", query_string=b"parts=3"))
        next(replies)
        replies.close()
        assert events[-2:] == ["part 0", "stream closed"]


class TestViewConsumer:
    def consume(self, message: Message) -> FakeLayer:
        """Run the consumer as a worker does, up to its flush."""
        with collect_sends() as collected:
            ViewConsumer()(message)
        self.held = len(collected.sends)
        layer = message.channel_layer
        assert isinstance(layer, FakeLayer)
        layer.flush_sends([send for _, send in collected.sends])
        return layer

    def test_short_responses_leave_with_other_sends(self) -> None:
        layer = self.consume(http_message("/plain/"))
        assert self.held == 1
        assert [reply["status"] for _, reply in layer.replies.delivered] == [200]

    def test_what_a_view_sends_is_held_back_as_a_consumer_s_is(self) -> None:
        """Item 37."""
        layer = self.consume(http_message("/sends/"))
        assert "sent 0" in events
        assert self.held == 2
        assert layer.publisher.queues == {"log": [{"n": 1}]}

    @pytest.mark.parametrize("view", ["streams", "streams_async"])
    def test_streams_leave_at_once_and_as_far_as_there_is_leave(self, view: str) -> None:
        """Item 107. Given a client that reads no more than eight parts: expect the ninth when it does."""
        layer = FakeLayer()
        message = http_message(f"/{view}/", layer=layer, query_string=b"parts=11")
        thread = threading.Thread(target=ViewConsumer(), args=(message,))
        thread.start()
        wait(lambda: len(layer.replies.delivered) == MAX_PIECES)
        assert layer.replies.delivered[0][1]["content"] == b"0,"
        thread.join(0.3)
        assert len(layer.replies.delivered) == MAX_PIECES
        grant(layer, 3)
        wait(lambda: len(layer.replies.delivered) == MAX_PIECES + 3)
        grant(layer, 4)
        thread.join(10)
        assert body_of([reply for _, reply in layer.replies.delivered]) == b"0,1,2,3,4,5,6,7,8,9,10,"

    @pytest.mark.parametrize("view", ["streams", "streams_async"])
    @pytest.mark.parametrize("gone", ["client", "process"])
    def test_nobody_waits_for_a_client_that_is_gone(self, view: str, gone: str) -> None:
        """Defect 17."""
        layer = FakeLayer()
        if gone == "client":
            grant(layer, GONE)
        else:
            layer.nodes.clear()
        message = http_message(f"/{view}/", layer=layer, query_string=b"parts=1000000")
        thread = threading.Thread(target=ViewConsumer(), args=(message,), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), "it waits for a client that is gone"
        assert len(layer.replies.delivered) == MAX_PIECES
        assert "stream closed" in events

    def test_a_full_inbox_is_waited_for(self) -> None:
        """Item 60."""
        layer = FakeLayer()
        layer.replies.full.add(REPLY)
        thread = threading.Thread(
            target=ViewConsumer(), args=(http_message("/large/", layer, query_string=b"size=600000"),)
        )
        thread.start()
        thread.join(0.2)
        assert layer.replies.delivered == []
        layer.replies.full.clear()
        thread.join(10)
        assert len(body_of([reply for _, reply in layer.replies.delivered])) == 600_000

    def test_a_stream_that_breaks_is_cut_off(self) -> None:
        layer = FakeLayer()
        with pytest.raises(RuntimeError):
            self.consume(http_message("/breaks/", layer=layer))
        assert [reply for _, reply in layer.replies.delivered][1:] == [{"closed": True}]

    def test_a_view_that_ends_its_process_is_answered(self) -> None:
        layer = FakeLayer()
        with pytest.raises(SystemExit):
            self.consume(http_message("/exits/", layer=layer))
        assert [reply["status"] for _, reply in layer.replies.delivered] == [500]

    def test_later(self) -> None:
        """Item 108."""
        assert self.consume(http_message("/later/")).replies.delivered == []

    def test_without_a_reply_channel(self) -> None:
        with pytest.raises(ValueError, match="reply channel"):
            ViewConsumer()(http_message(reply_channel=None))


class TestStaticFiles:
    """Item 112."""

    def answer(self, path: str) -> dict[str, Any]:
        return next(StaticFilesHandler()(http_message(path)))

    def test_files_are_served_in_front_of_views(self) -> None:
        with override_settings(STATIC_URL="/static/", DEBUG=True):
            reply = self.answer("/static/channels/js/websocketbridge.js")
            assert reply["status"] == 200
            assert b"WebSocketBridge" in reply["content"]
            assert self.answer("/plain/")["content"] == b"plain GET"
            missing = self.answer("/static/none.js")
            assert (missing["status"], b"DEBUG" in missing["content"]) == (404, True)

    @pytest.mark.parametrize("debug", [True, False])
    def test_a_path_out_of_the_folders_is_400(self, debug: bool) -> None:
        with override_settings(STATIC_URL="/static/", DEBUG=debug):
            assert self.answer("/static/../../../../etc/passwd")["status"] == 400

    def test_files_of_another_host_are_not(self) -> None:
        with override_settings(STATIC_URL="http://cdn.example.com/static/", DEBUG=True):
            assert self.answer("/static/channels/js/websocketbridge.js")["status"] == 404

    def test_it_has_a_consumer(self) -> None:
        assert isinstance(StaticFilesConsumer().handler, StaticFilesHandler)


def told(reply: dict[str, Any]) -> tuple[int, str, bytes]:
    """Return status, type and content of an answer that is one reply."""
    assert reply["more_content"] is False
    return reply["status"], dict(reply["headers"])[b"Content-Type"].decode(), reply["content"]


def grant(layer: FakeLayer, credits: int) -> None:
    layer.pieces.grant(ADDRESS.token, credits)  # type: ignore[attr-defined]


def wait(condition: Callable[[], Any]) -> None:
    wait_until(condition, timeout=10, interval=0.005)
