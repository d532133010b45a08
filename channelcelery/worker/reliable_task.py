"""The Celery task that a message of a reliable channel is."""

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from celery import shared_task
from celery.exceptions import Reject, Retry, TimeLimitExceeded
from celery.worker.request import Request
from django.db import close_old_connections

from channelcelery.broker.ledger import DELIVERY_COUNT
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.reliable.parcel import TASK, Parcel
from channelcelery.worker.reliable_acks import LateAcks
from channelcelery.worker.reliable_counts import reliable_counts
from channelcelery.worker.reliable_ends import Buried, Finished, Postponed, Unsettled
from channelcelery.worker.reliable_run import cut_off, run_parcel

__all__ = ["ReliableRequest", "reliable", "settle_cut_off"]

logger = logging.getLogger("django.channels.worker")


class ReliableRequest(Request):  # type: ignore[misc,unused-ignore]
    """A request whose message leaves its queue only when its run said so: whatever else happens gives it back."""

    #: the worker's pool, which settles messages whose process was ended
    pool: Any = None
    #: what acknowledges the messages of the worker's present connection, if that is not done one by one
    acks: LateAcks | None = None
    _counted = False
    _cut_off = _settling = False

    def __init__(self, message: Any, **options: Any) -> None:
        if self.acks is not None and self.acks.carries(message.channel):
            tag = message.delivery_tag
            options["on_ack"] = partial(self.acks.acknowledge, tag)
            options["on_reject"] = partial(self.acks.give_back, tag)
        super().__init__(message, **options)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """Take note of a run that its time limit ends, with its process."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        self._cut_off = isinstance(error, TimeLimitExceeded)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def reject(self, requeue: bool = False) -> None:
        """Give the message back; its runs are counted, so that this comes to an end."""
        if self._settling:  # Celery tells of it twice
            return
        if self._cut_off:
            self._cut_off = False
            job = (dict(self.request_dict), list(self.args))
            # a pool that ends takes nothing more
            self._settling = bool(
                self.pool.apply_async(settle_cut_off, job, callback=self._settled, error_callback=self._settled)
            )
            if self._settling:
                return
        self._count("given_back")
        super().reject(requeue=True)

    def acknowledge(self) -> None:
        """Let go of the message: its run settled it, or a copy waits for the next run."""
        self._count("settled")
        super().acknowledge()

    def on_retry(self, exc_info: Any) -> None:
        """Take note that another run follows."""
        self._count("again")
        super().on_retry(exc_info)

    def _settled(self, result: object) -> None:
        self._settling = False
        if result is True:
            self.acknowledge()
        else:
            self.reject(requeue=True)

    def _count(self, ended: str) -> None:
        # none that did not run, and each once
        if self.time_start is not None and not self._counted:
            self._counted = True
            channel = next(iter((self.args or ())[1:2]), None)
            reliable_counts.note(channel, ended, time.time() - self.time_start)


def _is_redelivered(headers: Mapping[str, Any]) -> bool:
    return bool((headers.get("delivery_info") or {}).get("redelivered") or headers.get(DELIVERY_COUNT))


def settle_cut_off(headers: Mapping[str, Any], arguments: list[Any]) -> bool:
    """See to a message whose process was ended by its time limit; a job of the pool, which never raises.

    Args:
        headers: its task's request.
        arguments: its task's arguments.

    Returns:
        Whether the message may leave its queue.
    """
    close_old_connections()
    try:
        outcome = cut_off(Parcel.read(headers, arguments), _is_redelivered(headers))
    except Exception:
        logger.exception("a message whose run took too long goes back to its queue")
        return False
    finally:
        close_old_connections()
    return not isinstance(outcome, Unsettled)


# not typed: the stubs do not know all of Celery's options
_task: Any = shared_task


@_task(  # type: ignore[untyped-decorator,unused-ignore]
    name=TASK,
    bind=True,
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
    acks_on_failure=False,
    acks_on_timeout=False,
    ignore_result=True,
    store_errors_even_if_ignored=False,
    max_retries=None,
    rate_limit=None,
    Request="channelcelery.worker.reliable_task:ReliableRequest",
)
def reliable(self: Any, *arguments: Any) -> str:
    """Run the consumer of a message of a reliable channel.

    Args:
        arguments: the layer's alias, the channel, and the encoded content.

    Returns:
        What became of it, for people.
    """
    request = self.request
    headers = vars(request)
    try:
        outcome = run_parcel(Parcel.read(headers, list(arguments)), _is_redelivered(headers))
    except InvalidEnvelope as error:
        logger.error("a task that is no message of a reliable channel is dropped: %s", error)
        return "unreadable"
    except BaseException:  # a time limit may strike anywhere; the message goes back and is counted
        logger.exception("a run of a reliable message broke off")
        raise Reject("the run broke off", requeue=True) from None
    match outcome:
        case Finished():
            return "done"
        case Buried():
            return f"dead: {outcome.reason}"
        case Postponed():
            when: Any = outcome.seconds
            raise Retry(outcome.why, when=when)
        case Unsettled():
            raise Reject(outcome.why, requeue=True)
