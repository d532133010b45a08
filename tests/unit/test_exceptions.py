"""The tree of errors: drawn as it is, each error with its data, and the same after a trip between processes."""

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from channelcelery import exceptions
from channelcelery.exceptions import (
    BrokerRefused,
    BrokerUnanswered,
    BrokerUnavailable,
    ChannelCeleryError,
    ChannelFull,
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    InvalidChannelLayerError,
    InvalidContent,
    InvalidEnvelope,
    InvalidName,
    LayerUnavailable,
    MessageTooLarge,
    Reject,
    RequestAborted,
    RequestTimeout,
    ResponseAborted,
    ResponseLater,
    Retry,
    SendNotAvailableOnDemultiplexer,
    WebsocketCloseException,
)
from channelcelery.handler import AsgiRequest
from tests.fakes import make_message

ERRORS: list[tuple[ChannelCeleryError, dict[str, Any], list[str]]] = [
    (
        InvalidName("group", "a b", "no spaces"),
        {"kind": "group", "name": "a b", "rule": "no spaces"},
        ["'a b'", "group"],
    ),
    (InvalidContent("a message is a dict"), {}, ["a message is a dict"]),
    (MessageTooLarge(2_000_000, 1_000), {"size": 2_000_000, "limit": 1_000}, ["2,000,000", "1,000", "message_size"]),
    (InvalidEnvelope("no"), {}, ["no"]),
    (
        InvalidChannelLayerError("default", "CONFIG['hosts']", "write a list"),
        {"alias": "default", "key": "CONFIG['hosts']", "mend": "write a list"},
        ["CHANNEL_LAYERS['default']", "CONFIG['hosts']", "write a list"],
    ),
    (ChannelFull(["a", "b"]), {"channels": ("a", "b")}, ["a, b", "capacity"]),
    (BrokerRefused("nacked"), {"reason": "nacked"}, ["nacked"]),
    (BrokerUnanswered("timed out"), {"reason": "timed out"}, ["timed out", "CELERY_BROKER_URL"]),
    (BrokerUnavailable("refused"), {"reason": "refused"}, ["refused", "CELERY_BROKER_URL"]),
    (LayerUnavailable("refused"), {"reason": "refused"}, ["refused", "CONFIG['hosts']"]),
    (ConsumeLater(), {}, []),
    (Retry(2.5, "no paper"), {"after": 2.5}, ["no paper"]),
    (Retry(), {"after": None}, ["another run"]),
    (Reject("no such order"), {}, ["no such order"]),
    (Reject(), {}, ["rejected"]),
    (DenyConnection(), {}, []),
    (ResponseLater(), {}, []),
    (RequestTimeout(), {}, []),
    (RequestAborted(), {}, []),
    (ResponseAborted("x"), {}, ["x"]),
    (SendNotAvailableOnDemultiplexer("x"), {}, ["x"]),
    (ChannelSocketException("x"), {}, ["x"]),
    (WebsocketCloseException(4001), {"code": 4001}, ["4001"]),
    (WebsocketCloseException(), {"code": None}, ["1000"]),
]
SHOWN = [type(error).__name__ for error, _, _ in ERRORS]


@pytest.mark.parametrize(("error", "data", "words"), ERRORS, ids=SHOWN)
class TestEachError:
    def test_it_carries_its_data_and_says_it(
        self, error: ChannelCeleryError, data: dict[str, Any], words: list[str]
    ) -> None:
        assert {name: getattr(error, name) for name in data} == data
        assert [word for word in words if word not in str(error)] == []
        assert error.args in ((), (str(error),))

    def test_it_is_the_same_after_a_trip_between_processes(
        self, error: ChannelCeleryError, data: dict[str, Any], words: list[str]
    ) -> None:
        # pools and result backends send errors as pickles
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
            assert type(other) is type(error)
            assert str(other) == str(error)
            assert {name: getattr(other, name) for name in data} == data


def test_every_error_is_among_those_tested_and_public() -> None:
    defined = {
        name for name, _ in inspect.getmembers(exceptions, inspect.isclass) if _.__module__ == exceptions.__name__
    }
    assert defined == set(exceptions.__all__)
    assert defined == {*SHOWN, "ChannelCeleryError"}


def test_the_errors_of_requests_are_where_channels_1x_has_them() -> None:
    """Item 84."""
    for name in ("ResponseLater", "RequestTimeout", "RequestAborted", "SendNotAvailableOnDemultiplexer"):
        assert name in exceptions.__all__
    assert AsgiRequest.ResponseLater is exceptions.ResponseLater


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    """Given the drawing, Expect each error with its parent, its builtin types and a word on it."""
    drawn = {}
    parents: dict[int, str] = {}
    for line in inspect.getdoc(exceptions).splitlines():  # type: ignore[union-attr]
        if not (found := re.match(r"([│├└─ ]*)([A-Z]\w+)(?: \(([\w, ]+)\))?( {2,}.+)?$", line)):
            continue
        depth = len(found[1]) // 4
        parents[depth] = found[2]
        builtins = found[3].split(", ") if found[3] else []
        drawn[found[2]] = [*([parents[depth - 1]] if depth else ["Exception"]), *builtins]
        assert found[4] or not depth, f"{found[2]} is not explained"
    real = {name: [base.__name__ for base in getattr(exceptions, name).__bases__] for name in exceptions.__all__}
    assert drawn == real


class TestWebsocketCloseException:
    @pytest.mark.parametrize("code", [None, 1000, 3000, 4999])
    def test_given_a_code_for_applications_expect_it(self, code: int | None) -> None:
        """Item 83."""
        assert WebsocketCloseException(code).code == code

    @pytest.mark.parametrize("code", [0, 5, 999, 1001, 1006, 1011, 2999, 5000, -1, True, "1000", 1000.0, b"1000"])
    def test_given_another_code_expect_a_value_error(self, code: Any) -> None:
        """Defect 2 of Channels 1.1.8: any integer passed, and text raised TypeError."""
        # item 83
        with pytest.raises(ValueError, match=r"1000 or 3000 to 4999"):
            WebsocketCloseException(code)

    @pytest.mark.parametrize(("code", "sent"), [(None, True), (1000, 1000), (4001, 4001)])
    @pytest.mark.parametrize("channel", ["websocket.connect", "websocket.receive", "websocket.disconnect"])
    def test_given_a_websocket_consumer_expect_its_socket_closed(
        self, code: int | None, sent: Any, channel: str
    ) -> None:
        """Item 83, and defect 2."""
        message = make_message(channel, reply_channel="websocket.send!node.token")
        WebsocketCloseException(code).run(message)
        assert message.channel_layer.replies.delivered == [("websocket.send!node.token", {"close": sent})]

    def test_given_another_consumer_expect_a_value_error(self) -> None:
        """Item 83."""
        with pytest.raises(ValueError, match=r"a consumer of http\.request"):
            WebsocketCloseException().run(make_message("http.request", reply_channel="http.response!node.token"))

    def test_given_no_reply_channel_expect_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="no reply channel"):
            WebsocketCloseException().run(make_message("websocket.receive"))


def test_given_a_socket_exception_without_a_run_expect_its_name_in_the_error() -> None:
    """Item 82."""

    class Ban(ChannelSocketException):
        pass

    with pytest.raises(NotImplementedError, match="Ban must define run"):
        Ban().run(make_message())


@pytest.mark.parametrize("after", [-1, float("nan"), 10**7, "1", True])
def test_if_a_retry_is_not_for_a_number_of_seconds_expect_an_error(after: Any) -> None:
    with pytest.raises(ValueError, match=r"Retry\(after="):
        Retry(after)
