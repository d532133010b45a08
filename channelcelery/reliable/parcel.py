"""A reliable message as it travels: a Celery task, which Flower and `celery inspect` can show."""

import base64
import binascii
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from channelcelery.broker.connection import broker_app
from channelcelery.core.sealing import MARK, NoSeal, Seal
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers import channel_layers
from channelcelery.layers.seals import seal_of

__all__ = ["ALIAS", "TASK", "Parcel"]

logger = logging.getLogger("django.channels.reliable")

#: The name of the task.
TASK = "channelcelery.reliable"
#: Header that a worker writes: the alias that the layer has in its own settings, which counts there.
ALIAS = "channelcelery_alias"
_ATTEMPT = "channelcelery_attempt"
_SENT = "channelcelery_sent"
_OUTBOX = "channelcelery_outbox"
_COPY = "channelcelery_copy"
_TRACE = "channelcelery_trace"
#: More runs and later times than any sender of ours writes, and more than our tables take.
_MOST = 10**9
_NEVER = 1e11
#: Characters of a trace at most; a `traceparent` has 55.
_TRACE_SIZE = 64


@dataclass(frozen=True, slots=True)
class Parcel:
    """One reliable message.

    Args:
        id: the message's, which is the task's too.
        alias: the layer's alias in CHANNEL_LAYERS.
        channel: the reliable channel.
        content: its content, encoded (`core.envelope.encode_content`).
        attempt: the number of the run that this copy is for, if it is delivered once.
        sent: when it was first sent, in seconds since the epoch.
        outbox: the database whose outbox has it, an alias of DATABASES; "" if none has.
        copy: how often the outbox published it for this attempt before.
        trace: the `traceparent` of its sending (W3C Trace Context), or "".
    """

    id: str
    alias: str
    channel: str
    content: bytes
    attempt: int = 1
    sent: float = 0.0
    outbox: str = ""
    copy: int = 0
    trace: str = ""

    def task(self) -> Any:
        """Return the task's message, as Celery publishes it."""
        # base64 of msgpack: JSON would change what a message may hold, and Celery's would make objects of some of it
        content = self.content
        if not content.startswith(MARK):  # else nobody here could open it, and it goes on as it came
            content = _seal(self.alias).close(content, _place(self.channel, self.id))
        text = base64.b64encode(content).decode("ascii")
        shown = f"({self.alias!r}, {self.channel!r}, <{len(self.content)} bytes>)"
        amqp: Any = broker_app().amqp
        message = amqp.as_task_v2(
            self.id, TASK, args=[self.alias, self.channel, text], argsrepr=shown, kwargsrepr="{}", ignore_result=True
        )
        message.headers.update({_ATTEMPT: self.attempt, _SENT: self.sent or time.time()})
        if self.outbox:
            message.headers.update({_OUTBOX: self.outbox, _COPY: self.copy})
        if self.trace:
            message.headers[_TRACE] = self.trace
        return message

    def again(self, attempt: int) -> "Parcel":
        """Return the copy for another run."""
        return replace(self, attempt=attempt)

    @classmethod
    def read(cls, headers: Mapping[str, Any], arguments: Any) -> "Parcel":
        """Read what `task` wrote.

        Args:
            headers: the message's headers, or the task's request.
            arguments: the task's arguments.

        Raises:
            InvalidEnvelope: it was not written by it.
        """
        match headers.get("id"), arguments, headers.get(_ATTEMPT, 1), headers.get(_SENT, 0.0):
            case str(name), [str(alias), str(channel), str(text)], int(attempt), (int() | float()) as sent:
                if _fits(name, 64) and _fits(channel, 100) and 1 <= attempt <= _MOST and 0 <= sent < _NEVER:
                    alias = str(headers.get(ALIAS) or alias)
                    outbox, copy = str(headers.get(_OUTBOX) or ""), headers.get(_COPY)
                    copy = copy if isinstance(copy, int) else 0
                    trace = str(headers.get(_TRACE) or "")
                    return cls(
                        name,
                        alias,
                        channel,
                        _opened(alias, channel, name, _unpacked(text)),
                        attempt,
                        float(sent),
                        outbox,
                        copy,
                        trace if _fits(trace, _TRACE_SIZE) else "",
                    )
        raise InvalidEnvelope("a task that is no message of a reliable channel")


def _fits(name: str, longest: int) -> bool:
    return len(name) <= longest and name.isprintable()


def _seal(alias: str) -> Seal:
    # a layer that is gone from the settings has no keys
    return seal_of(channel_layers[alias].config) if alias in channel_layers else NoSeal()


def _opened(alias: str, channel: str, name: str, sealed: bytes) -> bytes:
    try:
        return _seal(alias).open(sealed, _place(channel, name))
    except InvalidEnvelope as error:
        logger.error("a message of the reliable channel %.120s becomes a dead letter: %s", channel, error)
        # what cannot be read is a dead letter, and can be sent again when the keys are right
        return sealed if sealed.startswith(MARK) else MARK + sealed


def _place(channel: str, name: str) -> str:
    return f"reliable {channel} {name}"


def _unpacked(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEnvelope("the content is not base64") from error
