"""Recording spans into a file, one line each, whichever process they are of."""

import json
import os

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor


def _line(span: ReadableSpan) -> str:
    fields = json.loads(span.to_json(indent=None))
    return json.dumps({**fields, "pid": os.getpid()}) + "\n"


def record_to(path: str) -> None:
    """Have spans appended to a file, each when it ends."""
    provider = TracerProvider()
    file = open(path, "a", buffering=1)  # noqa: SIM115 - as long as the process lives
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=_line)))
    trace.set_tracer_provider(provider)
