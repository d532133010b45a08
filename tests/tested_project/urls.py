"""Its pages."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


def state(request: HttpRequest) -> JsonResponse:
    """Tell what this process sees."""
    send_mail("subject", "text", "a@example.com", ["b@example.com"])  # goes nowhere in tests
    names = sorted(get_user_model().objects.values_list("username", flat=True))
    return JsonResponse({"people": names, "greeting": settings.GREETING, "debug": settings.DEBUG})


def page(request: HttpRequest) -> HttpResponse:
    """A page whose script talks to a socket."""
    return HttpResponse('<!doctype html><title>-</title><script src="/static/tested/page.js"></script>')


urlpatterns = [path("state/", state), path("page/", page)]
