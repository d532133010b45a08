"""The chat's sockets: one for what is said in a room, one for who is in it."""

import json

from django.db import transaction

from channelcelery import Group, consumer
from example_site.chat.models import Presence, guest_name
from example_site.chat.rules import ROOM, BadFrame, name_from_query, read_frame

MOST_NAMES = 200


@consumer("websocket.connect", path=rf"^/chat/{ROOM}/$")
def join(message, room):
    # Only this message has the query; later ones find the name by their reply channel.
    Presence.objects.create(
        room=room, reply_channel=message.reply_channel.name, name=name_from_query(message["query_string"])
    )
    Group(f"chat-{room}").add(message.reply_channel)
    message.reply_channel.send({"accept": True})
    send_people(room, to=Group(f"people-{room}"))


@consumer("websocket.receive", path=rf"^/chat/{ROOM}/$")
def say(message, room):
    try:
        said = read_frame(message.get("text"))
    except BadFrame as error:
        message.reply_channel.send({"text": json.dumps({"error": str(error)})})
        return
    socket = message.reply_channel.name
    known = Presence.objects.filter(reply_channel=socket).values_list("name", flat=True).first()
    name = known or said.name or guest_name(socket)
    Group(f"chat-{room}").send({"text": json.dumps({"name": name, "text": said.text})})


@consumer("websocket.disconnect", path=rf"^/chat/{ROOM}/$")
def leave(message, room):
    Group(f"chat-{room}").discard(message.reply_channel)
    Presence.objects.filter(reply_channel=message.reply_channel.name).delete()
    send_people(room, to=Group(f"people-{room}"))


@consumer("websocket.connect", path=rf"^/chat/{ROOM}/people/$")
def watch(message, room):
    Group(f"people-{room}").add(message.reply_channel)
    send_people(room, to=message.reply_channel)  # The first text accepts the socket.


@consumer("websocket.disconnect", path=rf"^/chat/{ROOM}/people/$")
def unwatch(message, room):
    Group(f"people-{room}").discard(message.reply_channel)


def send_people(room, to):
    """Send the list of names, at most 200, to a group or a reply channel."""
    # Two workers may do this at once, and the older list must not arrive last. SQLite has one transaction at a time
    # (transaction_mode IMMEDIATE), so each list leaves before the next one is read; elsewhere lock a row of the room.
    with transaction.atomic():
        present = Presence.objects.now().filter(room=room).order_by("since", "pk")[:MOST_NAMES]
        names = list(dict.fromkeys(presence.shown_name for presence in present))
        to.send({"text": json.dumps({"people": names})}, immediately=True)
