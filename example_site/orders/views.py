from dataclasses import dataclass

from django.db import transaction
from django.forms import RadioSelect, modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from channelcelery import Channel
from channelcelery.reliable.models import DeadLetter, OutboxRow
from channelcelery.reliable.replay import replay
from example_site.orders.models import Order

OrderForm = modelform_factory(Order, fields=["item", "card"], widgets={"card": RadioSelect})


@dataclass
class Line:
    """An order, and where its message is."""

    order: Order
    row: OutboxRow | None
    letter: DeadLetter | None


def index(request: HttpRequest) -> HttpResponse:
    """The form and the orders; the message is part of the order's transaction."""
    form = OrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            order = form.save()
            order.message_id = Channel("orders.placed").send({"order": order.pk})
            order.save(update_fields=["message_id"])
        return redirect("orders")
    return render(request, "orders/index.html", {"form": form, "lines": _lines()})


def lines(request: HttpRequest) -> HttpResponse:
    """The orders alone, as the page asks for them once a second."""
    return render(request, "orders/lines.html", {"lines": _lines()})


@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Replay a dead letter, with a card that works."""
    order = get_object_or_404(Order, pk=pk)
    letter = get_object_or_404(DeadLetter, message_id=order.message_id)
    Order.objects.filter(pk=pk).update(card=Order.Card.GOOD)
    replay(letter)
    return redirect("orders")


def _lines() -> list[Line]:
    orders = list(Order.objects.order_by("-pk")[:20])
    ids = [order.message_id for order in orders]
    rows = {row.message_id: row for row in OutboxRow.objects.filter(message_id__in=ids)}
    letters = {letter.message_id: letter for letter in DeadLetter.objects.filter(message_id__in=ids)}
    return [Line(order, rows.get(order.message_id), letters.get(order.message_id)) for order in orders]
