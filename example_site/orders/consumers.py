"""Taking the money: at least once in spite of all that may fail, and with one effect."""

from django.utils import timezone

from channelcelery import Reliable, consumer
from channelcelery.message import Message
from example_site.orders.models import Order


@consumer("orders.placed", reliable=Reliable(max_attempts=3, backoff=2, outbox=True, idempotent=True))
def take_the_money(message: Message) -> None:
    """What raises here is run again, and is a dead letter after the third time."""
    order = Order.objects.get(pk=message["order"])
    if order.card == Order.Card.BAD or (order.card == Order.Card.FLAKY and message.attempt < 3):
        raise RuntimeError("the bank says no")
    order.paid = timezone.now()
    order.save(update_fields=["paid"])
