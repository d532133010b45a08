from django.db import models


class Order(models.Model):
    """Something that was ordered; a reliable consumer takes the money for it."""

    class Card(models.TextChoices):
        GOOD = "good", "Works at once"
        FLAKY = "flaky", "Fails twice, then works"
        BAD = "bad", "Fails every time"

    item = models.CharField(max_length=80)
    card = models.CharField(max_length=10, choices=Card, default=Card.GOOD)
    message_id = models.CharField(max_length=64, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    paid = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.item
