"""The live blog's socket: first all posts, then each change; `signals.py` sends those."""

import json

from django.db import transaction

from channelcelery import Group, consumer
from example_site.liveblog.models import newest_posts


@consumer("websocket.connect", path=r"^/liveblog/$")
def follow(message):
    Group("liveblog").add(message.reply_channel)
    # Whoever comes back after a while missed some changes, so all posts go out; the text accepts the socket. No save is
    # committed between reading and sending (SQLite, transaction_mode IMMEDIATE), so every later change arrives later.
    with transaction.atomic():
        posts = [post.as_json() for post in newest_posts()]
        message.reply_channel.send({"text": json.dumps({"posts": posts})}, immediately=True)


@consumer("websocket.disconnect", path=r"^/liveblog/$")
def unfollow(message):
    Group("liveblog").discard(message.reply_channel)
