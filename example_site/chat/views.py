from urllib.parse import urlencode

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify

from example_site.chat.models import Presence
from example_site.chat.rules import MAX_NAME, MAX_TEXT, tidy_name


def index(request: HttpRequest) -> HttpResponse:
    """Choose a room and a name; the form comes back here and goes on to the room."""
    name = tidy_name(request.GET.get("name", ""))[:MAX_NAME]
    room = slugify(request.GET.get("room", ""))[:80]
    if room:
        return redirect(reverse("room", args=[room]) + (f"?{urlencode({'name': name})}" if name else ""))
    rooms = Presence.objects.now().values("room").annotate(people=Count("pk")).order_by("-people", "room")[:12]
    return render(request, "chat/index.html", {"rooms": rooms, "max_name": MAX_NAME})


def room(request: HttpRequest, room: str) -> HttpResponse:
    """The page of one room; all that happens in it comes through the sockets."""
    name = tidy_name(request.GET.get("name", ""))[:MAX_NAME]
    return render(request, "chat/room.html", {"room": room, "name": name, "max_name": MAX_NAME, "max_text": MAX_TEXT})
