"""Looking through dead letters, and sending them again."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from django.db import DatabaseError, InterfaceError, router, transaction

from channelcelery.exceptions import ChannelCeleryError
from channelcelery.layers import channel_layers
from channelcelery.layers.base import ReliablePublisher
from channelcelery.layers.layer import ChannelLayer
from channelcelery.reliable import outbox
from channelcelery.reliable.dead import dead_letters
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.sending import ReliableSender

__all__ = ["choose", "replay", "replay_all"]


def choose(
    *,
    ids: Iterable[str] = (),
    channel: str | None = None,
    reason: str | None = None,
    alias: str | None = None,
    before: datetime | None = None,
    after: datetime | None = None,
) -> Any:
    """Return the dead letters that fit all of what is given, as a query.

    Args:
        ids: of messages; none means any.
        channel: a glob.
        reason: one of `core.reliable.Reason`.
        alias: the layer's.
        before: that died before then.
        after: that died after then.
    """
    letters = dead_letters().objects.all()
    if wanted := list(ids):
        letters = letters.filter(message_id__in=wanted)
    if channel is not None:
        # each database has regular expressions of its own kind, and there are few channels
        names = letters.order_by().values_list("channel", flat=True).distinct()
        letters = letters.filter(channel__in=[name for name in names if fnmatchcase(name, channel)])
    if reason is not None:
        letters = letters.filter(reason=reason)
    if alias is not None:
        letters = letters.filter(alias=alias)
    if before is not None:
        letters = letters.filter(died_at__lt=before)
    if after is not None:
        letters = letters.filter(died_at__gt=after)
    return letters


def replay(letter: Any) -> None:
    """Send a dead letter's message again, as new, and forget the letter once the broker or the outbox keeps it.

    Whatever goes wrong the letter stays, unless the message is there: it may then be handled twice. Where somebody else
    does the same at that moment, or did, nothing is left to do.

    Args:
        letter: a `DeadLetter`.

    Raises:
        KeyError: its layer is gone from CHANNEL_LAYERS.
        LayerUnavailable: Redis did not answer.
        DatabaseError, InterfaceError: the database did not take it.
        BrokerUnavailable: the broker did not confirm the message; it may have it all the same.
    """
    layer = channel_layers[letter.alias]
    sent = letter.sent_at.timestamp() if letter.sent_at else 0.0
    layer.attempts.forget(letter.message_id)
    parcel = Parcel(letter.message_id, letter.alias, letter.channel, bytes(letter.content), sent=sent)
    # it may have died again meanwhile: that letter is a new one
    this = dead_letters().objects.filter(pk=letter.pk, died_at=letter.died_at)
    with transaction.atomic(using=router.db_for_write(dead_letters())):
        # first, so that of two at once the second waits for the first, and finds nothing
        if this.delete()[0]:
            _send(layer, parcel)


def _send(layer: ChannelLayer, parcel: Parcel) -> None:
    sender = _sender(layer.reliable)
    if not layer.has_outbox(parcel.channel):
        sender.send_again(parcel)
        return
    using = outbox.database()
    with transaction.atomic(using=using):
        # one that is there already, as after a replay that was cut off between two databases, is as good
        outbox.forget(parcel := replace(parcel, outbox=using))
        sender.put_in_outbox(parcel)


def replay_all(letters: Any) -> Iterator[tuple[Any, Exception | None]]:
    """Replay many, each on its own; yield each with what went wrong, if anything did.

    Args:
        letters: a query of dead letters; those that are made meanwhile are not among them.
    """
    for key in list(letters.values_list("pk", flat=True)):
        letter = dead_letters().objects.filter(pk=key).first()
        if letter is None:  # somebody else was faster
            continue
        try:
            replay(letter)
        except (ChannelCeleryError, KeyError, DatabaseError, InterfaceError) as error:
            yield letter, error
        else:
            yield letter, None


def _sender(found: ReliablePublisher | None) -> ReliableSender:
    if not isinstance(found, ReliableSender):
        raise RuntimeError("this layer cannot send to reliable channels: is Django set up?")
    return found
