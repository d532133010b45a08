"""Tracing costs nothing where nobody records, and adds nothing to what travels."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from channelcelery import tracing
from channelcelery.channel import Channel, Group
from channelcelery.core.envelope import count_retry, decode_item, encode_content, encode_item, mark_copy
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from tests.fakes import FakeLayer
from tests.unit.worker.conftest import layer, routed
from tests.unit.worker.jobs import REPLY, job

__all__ = ["layer", "routed"]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONTENT = encode_content({"text": "a"}, 1_000)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Somebody records."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    tracing._is_active.cache_clear()
    yield exporter
    provider.shutdown()
    tracing._is_active.cache_clear()


def test_given_nobody_who_records_expect_what_travels_unchanged() -> None:
    assert not tracing.is_active()
    assert tracing.sent("work") == ""
    with tracing.processing("work", "a.b", PARENT) as fail:
        fail(RuntimeError())
    assert encode_item(CONTENT, 5, "") == encode_item(CONTENT, 5)


def test_given_somebody_who_begins_to_record_expect_it_noticed_in_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    now = 5.0
    monkeypatch.setattr(tracing.time, "monotonic", lambda: now)
    tracing._is_active.cache_clear()
    assert not tracing.is_active()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: TracerProvider())
    assert not tracing.is_active()
    now = 5.1
    assert tracing.is_active()
    request.addfinalizer(tracing._is_active.cache_clear)


def test_given_no_api_expect_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_api", None)
    assert tracing.sent("work") == ""
    with tracing.processing("work", "a.b", PARENT) as fail:
        fail(RuntimeError())


def test_given_a_trace_expect_it_in_the_item_whatever_becomes_of_that() -> None:
    item = encode_item(CONTENT, 5, PARENT)
    for each in (item, count_retry(item), mark_copy(item)):
        assert decode_item(each).trace == PARENT
        assert decode_item(each).content == {"text": "a"}
    assert decode_item(encode_item(CONTENT, 5)).trace == ""


def test_given_a_trace_that_is_none_expect_the_message_run_all_the_same(
    routed: Callable[..., None], spans: InMemorySpanExporter
) -> None:
    routed(lambda message: None)
    assert job(encode_item(CONTENT, 10**13, "made up"), encode_item(CONTENT, 10**13, "x" * 1000)).ran == 2
    assert [span.parent for span in spans.get_finished_spans()] == [None, None]


def test_given_a_consumer_that_raises_expect_it_recorded_and_its_name_as_the_status(
    routed: Callable[..., None], spans: InMemorySpanExporter
) -> None:
    def fails(message: Message) -> None:
        raise RuntimeError("on purpose")

    routed(fails)
    job(encode_item(CONTENT, 10**13, PARENT))
    [span] = spans.get_finished_spans()
    assert (span.kind, span.status.status_code) == (trace.SpanKind.CONSUMER, trace.StatusCode.ERROR)
    assert span.status.description == "RuntimeError"
    assert [event.name for event in span.events] == ["exception"]
    assert dict(span.attributes or {}) == {
        "messaging.system": "channelcelery",
        "messaging.operation.type": "process",
        "messaging.destination.name": "chat",
        "code.function.name": fails.__module__ + "." + fails.__qualname__,
    }


@pytest.mark.parametrize("separator", ["!", "?"])
def test_given_a_channel_of_one_reader_expect_its_secret_nowhere(spans: InMemorySpanExporter, separator: str) -> None:
    tracing.sent(f"websocket.send{separator}node.secret")
    [span] = spans.get_finished_spans()
    assert (span.name, span.kind) == ("send websocket.send", trace.SpanKind.PRODUCER)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("carried", ["", PARENT])
def test_given_what_a_message_carried_expect_sends_in_its_trace_inside_the_block_only(
    spans: InMemorySpanExporter, carried: str
) -> None:
    with trace.get_tracer("around").start_as_current_span("around"):
        with tracing.continuing(carried):
            tracing.sent("work")
        tracing.sent("work")
    inside, after, around = spans.get_finished_spans()
    assert after.parent is not None
    assert after.parent.span_id == around.context.span_id
    assert inside.parent is not None
    assert inside.parent.span_id == (0xB7AD6B7169203331 if carried else around.context.span_id)


def test_given_a_consumer_that_sends_expect_its_sends_below_it_and_the_trace_going_on(
    routed: Callable[..., None], layer: FakeLayer, spans: InMemorySpanExporter
) -> None:
    def consumer(message: Message) -> None:
        Channel("elsewhere").send({})
        Channel(REPLY).send({"text": "a"})
        Group("all").send({"text": "b"})

    routed(consumer)
    job(encode_item(CONTENT, 10**13, PARENT))
    *sends, process = spans.get_finished_spans()
    assert [span.name for span in sends] == ["send elsewhere", "send websocket.send", "send group"]
    assert {span.context.trace_id for span in (*sends, process)} == {0x0AF7651916CD43DD8448EB211C80319C}
    assert process.parent is not None
    assert process.parent.span_id == 0xB7AD6B7169203331
    assert {span.parent.span_id for span in sends if span.parent} == {process.context.span_id}
    prepared = ChannelLayer.prepare(layer, "elsewhere", {})
    assert decode_item(prepared.item).trace.startswith("00-")  # type: ignore[union-attr]
