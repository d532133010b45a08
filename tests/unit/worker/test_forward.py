"""Messages that come without guarantees to a reliable channel are sent on with all of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.reliable import Reliable
from channelcelery.core.sends import ReliableSend
from channelcelery.exceptions import BrokerUnavailable, ChannelFull
from channelcelery.message import Message
from channelcelery.routing import Router, replace_router, route
from channelcelery.worker.forward import forward
from tests.fakes import FakeLayer
from tests.unit.worker.jobs import job

NEVER = 10_000_000_000_000


class Recorder:
    """The half of a layer that holds reliable channels."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.sent = error, list[ReliableSend]()

    def send(self, send: ReliableSend) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(send)

    def close(self) -> None: ...


def consume(message: Message) -> None: ...


@pytest.fixture(autouse=True)
def reliable_orders() -> Iterator[None]:
    former = replace_router("default", Router([route("orders", consume, reliable=Reliable())]))
    yield
    replace_router("default", former)


def layer(error: Exception | None = None) -> tuple[FakeLayer, Recorder]:
    made, recorder = FakeLayer(), Recorder(error)
    made.make_reliable = lambda config: recorder
    return made, recorder


ITEMS = [encode_item(encode_content({"n": number}, 100), NEVER) for number in range(3)]


def test_given_messages_expect_each_sent_on_with_an_id_of_its_own() -> None:
    made, recorder = layer()
    assert forward(made, "orders", ITEMS) == {"forwarded": 3}
    assert [send.content for send in recorder.sent] == [encode_content({"n": number}, 100) for number in range(3)]
    assert len({send.id for send in recorder.sent}) == 3


def test_expect_a_warning_that_says_what_to_do_once_per_burst(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("channelcelery.worker.forward._bursts", Bursts())
    made, _ = layer()
    forward(made, "orders", ITEMS)
    forward(made, "orders", ITEMS)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "name it in CONFIG['reliable_channels']" in record.message


def test_given_one_above_this_project_s_own_limit_expect_the_others_sent_on(caplog: pytest.LogCaptureFixture) -> None:
    made, recorder = layer()
    made.config = replace(made.config, message_size=10)
    large = encode_item(encode_content({"text": "long enough"}, 100), NEVER)
    assert forward(made, "orders", [large, *ITEMS]) == {"forwarded": 3, "unreadable": 1}
    assert len(recorder.sent) == 3
    assert "were dropped" in caplog.text


def test_given_a_job_of_a_reliable_channel_expect_its_runner_to_forward_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its consumer must not run: nothing would run it again."""
    forwarded: list[object] = []

    def note(layer: object, channel: str, items: object) -> Counter[str]:
        forwarded.append((channel, tuple(items)))  # type: ignore[call-overload]
        return Counter(forwarded=len(ITEMS))

    monkeypatch.setattr("channelcelery.worker.runner.forward", note)
    outcome = job(*ITEMS, channel="orders")
    assert forwarded == [("orders", tuple(ITEMS))]
    assert (outcome.ran, outcome.dropped) == (0, {"forwarded": 3})


def test_if_the_broker_is_away_expect_them_back_in_their_queue() -> None:
    made, _ = layer(BrokerUnavailable("no"))
    forward(made, "orders", ITEMS)
    assert made.publisher.queues == {"orders": [{"n": 0}, {"n": 1}, {"n": 2}]}


def test_if_the_channel_is_full_or_one_is_garbage_expect_it_counted(caplog: pytest.LogCaptureFixture) -> None:
    made, _ = layer(ChannelFull(["orders"]))
    assert forward(made, "orders", [ITEMS[0], b"garbage"]) == {"channel_full": 1, "unreadable": 1}
    assert "were dropped" in caplog.text
