"""Pages beside the examples: a log-in, who is logged in, what was said, and a view that says something."""

from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path

from channelcelery import Channel
from tests.acceptance.getting_started.models import ChatMessage


def account(request: HttpRequest) -> HttpResponse:
    """Show who is logged in, and the session's key."""
    return render(request, "account.html")


def poll(request: HttpRequest) -> HttpResponse:
    """Answer what no route of the examples matches."""
    return HttpResponse(f"a view, asked by {request.method}")


def said(request: HttpRequest, room: str) -> JsonResponse:
    """Return what was said in a room; what is posted is said there too."""
    if request.method == "POST":
        Channel("chat-messages").send({"room": room, "message": request.POST["message"]})
    return JsonResponse({"said": list(ChatMessage.objects.filter(room=room).values_list("message", flat=True))})


urlpatterns = [
    path("login/", LoginView.as_view()),
    path("account/", account),
    path("routing/poll/", poll),
    path("said/<slug:room>/", said),
]
