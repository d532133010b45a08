"""Its tests in the manner of pytest; run by our tests, not collected by name."""

import json
import urllib.request

import pytest
from django.contrib.auth import get_user_model
from websockets.sync.client import connect

from channelcelery import Channel, Group, channel_layers
from channelcelery.test import Client, WSClient, apply_routes
from channelcelery.test.layer import ReadableLayer
from channelcelery.test.live import LiveSite
from tests.tested_project.live_cases import note
from tests.tested_project.routing import channel_routing


@pytest.mark.parametrize("turn", [1, 2])
def test_layers_are_fresh(channel_layer: ReadableLayer, turn: int) -> None:
    assert channel_layers["default"] is channel_layer
    assert channel_layer.receive(["things"]) == (None, None)
    Channel("things").send({"turn": turn})


@pytest.mark.django_db
def test_client(channels_client: Client) -> None:
    channels_client.send_and_consume("people", {"name": "ann", "room": "lobby"})
    assert get_user_model().objects.get().username == "ann"


@pytest.mark.django_db
def test_ws_client(ws_client: WSClient) -> None:
    ws_client.force_login(get_user_model().objects.create(username="ann"))
    ws_client.send_and_consume("websocket.connect", path="/room/lobby/")
    ws_client.send_and_consume("websocket.receive", text="bob", path="/room/lobby/")
    assert ws_client.receive(json=False) == "ann: bob"


@apply_routes([channel_routing[2]])
def test_apply_routes(channels_client: Client) -> None:
    assert channels_client.get_consumer_by_channel("people")
    assert not channels_client.get_consumer_by_channel("websocket.connect")


def test_live_server(channel_live_server: LiveSite) -> None:
    get_user_model().objects.create(username="ann")
    with urllib.request.urlopen(f"{channel_live_server.url}/state/", timeout=20) as response:  # noqa: S310 - our own
        assert json.load(response)["people"] == ["ann"]
    with connect(f"{channel_live_server.ws_url}/double/", proxy=None, open_timeout=20, close_timeout=2) as socket:
        Group("doublers").send({"text": "from the test"})
        assert socket.recv(20) == "from the test"
    note(channel_live_server)


def test_live_server_again(channel_live_server: LiveSite) -> None:
    assert not get_user_model().objects.exists()
    with connect(f"{channel_live_server.ws_url}/double/", proxy=None, open_timeout=20, close_timeout=2) as socket:
        socket.send('{"number": 21}')
        assert json.loads(socket.recv(20)) == {"doubled": 42}


def test_between_live_tests_layers_are_in_memory(channel_layer: ReadableLayer) -> None:
    assert channel_layer.local_only()
