"""A saved post goes to every open page, from whichever process it was saved in."""

import json

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from channelcelery import Group
from example_site.liveblog.models import Post


@receiver(post_save, sender=Post)
def show(instance: Post, **kwargs) -> None:
    send_after_commit({"post": instance.as_json()} if instance.published else {"removed": instance.pk})


@receiver(post_delete, sender=Post)
def remove(instance: Post, **kwargs) -> None:
    send_after_commit({"removed": instance.pk})


def send_after_commit(content: dict[str, object]) -> None:
    """Tell the pages what is in the database by then; where they cannot be told, the post is saved all the same."""
    text = json.dumps(content)
    transaction.on_commit(lambda: Group("liveblog").send({"text": text}), robust=True)
