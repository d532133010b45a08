"""The task that sends to a channel."""

from collections.abc import Iterator

import pytest

from channelcelery.exceptions import InvalidName
from channelcelery.layers import channel_layers
from channelcelery.tasks import send_to_channel
from tests.fakes import FakeLayer


@pytest.fixture
def layers() -> Iterator[dict[str, FakeLayer]]:
    fakes = {alias: FakeLayer(alias) for alias in ("default", "other")}
    former = {alias: channel_layers.set(alias, fake) for alias, fake in fakes.items()}
    yield fakes
    for alias, layer in former.items():
        channel_layers.set(alias, layer)


def test_given_a_message_expect_it_on_the_channel_of_its_layer(layers: dict[str, FakeLayer]) -> None:
    send_to_channel("tick", {"number": 1})
    send_to_channel("tick", {"number": 2}, alias="other")
    queues = [layer.publisher.queues for layer in layers.values()]
    assert queues == [{"tick": [{"number": 1}]}, {"tick": [{"number": 2}]}]


def test_given_no_channel_s_name_expect_the_task_to_fail(layers: dict[str, FakeLayer]) -> None:
    with pytest.raises(InvalidName):
        send_to_channel("no name", {})
