"""A project that has the application and no channel layer."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

import channelcelery
from channelcelery.checks import check_routing
from channelcelery.consumers import ConsumerRegistry
from channelcelery.layers import channel_layers


def hello(request: HttpRequest) -> HttpResponse:
    """Answer, and say that nothing can be sent."""
    with pytest.raises(KeyError, match="it has nothing"):
        channelcelery.Channel("work")
    return HttpResponse("hello")


urlpatterns = [path("hello/", hello)]


@pytest.fixture(autouse=True)
def no_layer_of_before() -> Iterator[None]:
    """Put aside what earlier tests made."""
    former = channel_layers.set("default", None)
    yield
    channel_layers.set("default", former)


def test_given_consumers_and_no_layer_expect_no_error(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 15: an app that has consumers may be installed all the same."""
    registry = ConsumerRegistry()
    registry.consumer("work")(hello)
    monkeypatch.setattr("channelcelery.consumers.registry", registry)
    settings.CHANNEL_LAYERS = {}
    assert check_routing() == []
    settings.CHANNEL_LAYERS = {"other": {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"}}
    assert [error.id for error in check_routing()] == ["channelcelery.E003"]


@pytest.mark.parametrize("layers", [{}, None])
def test_given_no_layer_expect_plain_django(settings: Any, layers: Any) -> None:
    """Item 15: checks pass, and pages are served by WSGI."""
    if layers is None:
        del settings.CHANNEL_LAYERS
    else:
        settings.CHANNEL_LAYERS = layers
    settings.ROOT_URLCONF = __name__
    assert run_checks(include_deployment_checks=False) == []
    assert callable(get_wsgi_application())
    assert Client().get("/hello/").content == b"hello"
