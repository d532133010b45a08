"""Traces for OpenTelemetry: nothing at all unless its API is installed and the project has set up who records them.

A message carries the W3C `traceparent` of its sending, and its consumer's span is a child of that. Channels' names are
those of the routing; of a reply channel only what comes before its secret is told.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

__all__ = ["continuing", "is_active", "processing", "sent"]

# not a dependency
_api: Any
_context: Any
try:
    from opentelemetry import context as _context
    from opentelemetry import trace as _api
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    _api = _context = None

#: Providers that record nothing.
_IDLE: tuple[type[object], ...] = () if _api is None else (_api.ProxyTracerProvider, _api.NoOpTracerProvider)


def is_active() -> bool:
    """Tell whether anybody records spans, as far as a look in this tenth of a second told."""
    return _api is not None and _is_active(int(time.monotonic() * 10))


@lru_cache(maxsize=1)
def _is_active(tenth: int) -> bool:
    # each look goes through the environment, which costs as much as reading a message does
    return not isinstance(_api.get_tracer_provider(), _IDLE)


def sent(channel: str) -> str:
    """Record that a message was sent, and return what it carries along; "" where nobody records it.

    Args:
        channel: the channel, of whatever kind.
    """
    if not is_active():
        return ""
    with _span("send", channel, _api.SpanKind.PRODUCER):
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def continuing(trace: str) -> Iterator[None]:
    """Have what the block sends belong to a trace that began elsewhere.

    Args:
        trace: what a message carried along, or "".
    """
    if not trace or not is_active():
        yield
        return
    token = _context.attach(TraceContextTextMapPropagator().extract({"traceparent": trace}))
    try:
        yield
    finally:
        _context.detach(token)


def processing(channel: str, consumer: str, trace: str) -> AbstractContextManager[Callable[[BaseException], None]]:
    """Record what a consumer does as a span.

    Args:
        channel: the channel that the message came by.
        consumer: its name.
        trace: what the message carried along.

    Returns:
        A context manager, for what tells that the consumer raised.
    """
    return _processing(channel, consumer, trace) if is_active() else _NOBODY


@contextmanager
def _processing(channel: str, consumer: str, trace: str) -> Iterator[Callable[[BaseException], None]]:
    parent = TraceContextTextMapPropagator().extract({"traceparent": trace}) if trace else None
    with _span("process", channel, _api.SpanKind.CONSUMER, parent, consumer) as span:

        def fail(error: BaseException) -> None:
            span.record_exception(error)
            span.set_status(_api.StatusCode.ERROR, type(error).__name__)

        yield fail


def _nothing(error: BaseException) -> None:
    return None


_NOBODY = nullcontext(_nothing)


def _span(verb: str, channel: str, kind: Any, parent: Any = None, consumer: str = "") -> Any:
    name = channel.partition("!")[0].partition("?")[0]
    attributes = {
        "messaging.system": "channelcelery",
        "messaging.operation.type": verb,
        "messaging.destination.name": name,
    }
    if consumer:
        attributes["code.function.name"] = consumer
    tracer = _api.get_tracer("channelcelery")
    return tracer.start_as_current_span(f"{verb} {name}", context=parent, kind=kind, attributes=attributes)
