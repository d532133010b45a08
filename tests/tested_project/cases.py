"""Its tests that need no server, in the manner of Channels 1.x; run by our tests, not collected by name."""

from django.contrib.auth import get_user_model

from channelcelery import Channel, Group
from channelcelery.test import ChannelTestCase, Client, TransactionChannelTestCase, WSClient, apply_routes
from tests.tested_project import consumers
from tests.tested_project.routing import channel_routing


class RoomTests(ChannelTestCase):
    """A room, its people and the channel behind it."""

    def test_room(self) -> None:
        user = get_user_model().objects.create_user("ann", password="secret")
        client = WSClient()
        self.assertTrue(client.login(username="ann", password="secret"))
        client.send_and_consume("websocket.connect", path="/room/lobby/")
        self.assertIsNone(client.receive())
        client.send_and_consume("websocket.receive", text="bob", path="/room/lobby/")
        self.assertEqual(client.receive(json=False), "ann: bob")
        Client().consume("people")
        self.assertEqual(get_user_model().objects.exclude(pk=user.pk).get().username, "bob")
        self.assertTrue(client.receive(json=False).startswith("added by "))

    def test_calling_a_consumer_by_hand(self) -> None:
        Channel("people").send({"name": "carl", "room": "lobby"})
        consumers.add_person(self.get_next_message("people", require=True))
        self.assertTrue(get_user_model().objects.filter(username="carl").exists())

    @apply_routes(channel_routing[:1])
    def test_fewer_routes(self) -> None:
        with self.assertRaises(AssertionError):
            WSClient().send_and_consume("websocket.connect", path="/double/")


class DoublerTests(TransactionChannelTestCase):
    """A class-based consumer."""

    def test_doubles(self) -> None:
        client = WSClient(ordered=True)
        consumer = client.send_and_consume("websocket.connect", path="/double/")
        self.assertIsInstance(consumer, consumers.Doubler)
        client.send_and_consume("websocket.receive", text={"number": 21}, path="/double/")
        self.assertEqual(client.receive(), {"doubled": 42})
        Group("doublers").send({"text": "1"})
        self.assertEqual(client.receive(), 1)
