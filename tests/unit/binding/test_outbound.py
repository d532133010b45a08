"""Changes of models sent to groups (Channels 1.x, items 197 to 199 and 204; defect 22)."""

import contextlib
import gc
import json
import pickle
import uuid
import weakref
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.db.models.signals import post_save

from channelcelery.binding.websockets import WebsocketBinding, WebsocketBindingWithMembers
from channelcelery.channel import collect_sends
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers import channel_layers
from tests.fakes import FakeLayer
from tests.unit.binding.warehouse.models import Box, Number

pytestmark = pytest.mark.django_db


class Numbers(WebsocketBinding):
    """Seen by everybody, and by who listens to a name."""

    model = None
    stream = "numbers"
    fields = ["name", "value"]

    @classmethod
    def group_names(cls, instance: Any) -> Iterable[str]:
        return ["all", f"name-{instance.name}"]


def bind(*bases: type, **body: Any) -> type[WebsocketBinding]:
    made: type[WebsocketBinding] = type("Bound", bases or (Numbers,), {"model": Number, **body})
    return made


def sent(layer: FakeLayer) -> list[tuple[str, dict[str, Any]]]:
    """Return and forget what groups were sent: names with payloads."""
    delivered = [(group, json.loads(content["text"])) for group, content in layer.replies.delivered]
    layer.replies.delivered.clear()
    return [(group, frame["payload"] | {"stream": frame["stream"]}) for group, frame in delivered]


def actions(layer: FakeLayer) -> list[tuple[str, str]]:
    return [(group, payload["action"]) for group, payload in sent(layer)]


class TestWhoIsTold:
    """Item 197."""

    def test_given_changes_expect_those_told_who_saw_or_see_it(self, layer: FakeLayer) -> None:
        bind()
        number = Number.objects.create(name="a")
        assert sorted(actions(layer)) == [("all", "create"), ("name-a", "create")]
        number.value = 2
        number.save()
        assert sorted(actions(layer)) == [("all", "update"), ("name-a", "update")]
        number.delete()
        assert sorted(actions(layer)) == [("all", "delete"), ("name-a", "delete")]

    def test_given_one_that_moves_between_groups_expect_delete_update_create_in_that_order(
        self, layer: FakeLayer
    ) -> None:
        """Its groups are asked for before and after: here they change with what is saved."""

        @classmethod  # type: ignore[misc]
        def group_names(cls: Any, instance: Number) -> list[str]:
            return ["all", f"name-{Number.objects.get(pk=instance.pk).name}"]

        number = Number.objects.create(name="a")
        bind(group_names=group_names)
        number.name = "b"
        number.save()
        assert actions(layer) == [("name-a", "delete"), ("all", "update"), ("name-b", "create")]

    def test_given_no_groups_expect_nothing_sent_or_serialized(self, layer: FakeLayer) -> None:
        def serialize(self: Any, instance: Any, action: str) -> Any:
            raise AssertionError("asked for without need")

        bind(group_names=classmethod(lambda cls, instance: []), serialize=serialize)
        Number.objects.create(name="a").delete()
        assert sent(layer) == []

    def test_given_a_str_for_a_list_expect_a_type_error(self, layer: FakeLayer) -> None:
        bind(group_names=classmethod(lambda cls, instance: "all"))
        with pytest.raises(TypeError, match=r"\['all'\]"):
            Number.objects.create(name="a")

    def test_given_bulk_changes_expect_none_told_but_deletions(self, layer: FakeLayer) -> None:
        """Item 199."""
        bind(fields=["name"])
        Number.objects.bulk_create([Number(name="a"), Number(name="a")])
        Number.objects.update(value=5)
        assert sent(layer) == []
        Number.objects.all().delete()
        assert actions(layer).count(("all", "delete")) == 2

    def test_given_a_row_with_a_key_chosen_before_expect_a_creation(self, layer: FakeLayer) -> None:
        """A UUID is there before the row is."""
        bind(model=Box, fields=["name"])
        Box.objects.create(name="a")
        assert {action for _, action in actions(layer)} == {"create"}

    def test_given_several_bindings_of_a_model_expect_each_to_tell(self, layer: FakeLayer) -> None:
        bind(stream="one")
        bind(stream="two", group_names=classmethod(lambda cls, instance: ["all"]))
        Number.objects.create(name="a").delete()
        told = sorted((payload["stream"], payload["action"], group) for group, payload in sent(layer))
        assert told == [
            ("one", "create", "all"),
            ("one", "create", "name-a"),
            ("one", "delete", "all"),
            ("one", "delete", "name-a"),
            ("two", "create", "all"),
            ("two", "delete", "all"),
        ]


class TestWhatIsSent:
    """Item 198."""

    def test_expect_action_key_data_and_model(self, layer: FakeLayer) -> None:
        bind(group_names=classmethod(lambda cls, instance: ["all"]))
        number = Number.objects.create(name="a", value=3)
        payload = {
            "action": "create",
            "pk": number.pk,
            "data": {"name": "a", "value": 3},
            "model": "warehouse.number",
            "stream": "numbers",
        }
        assert sent(layer) == [("all", payload)]

    def test_given_a_uuid_expect_its_text_also_after_a_deletion(self, layer: FakeLayer) -> None:
        bind(model=Box, fields=["name", "made"])
        key = uuid.uuid4()
        box = Box.objects.create(pk=key, name="a")
        payload = sent(layer)[0][1]
        assert payload["pk"] == str(key)
        assert payload["data"] == {"name": "a", "made": box.made.isoformat(timespec="milliseconds")[:23] + "Z"}
        box.delete()
        assert sent(layer)[0][1]["pk"] == str(key)

    @pytest.mark.parametrize(
        ("choice", "names"),
        [
            ({"fields": "__all__"}, {"name", "value", "owner"}),
            ({"fields": ["__all__"]}, {"name", "value", "owner"}),
            ({"fields": ("__all__",)}, {"name", "value", "owner"}),
            ({"fields": ["name"]}, {"name"}),
            ({"fields": None, "exclude": ["owner"]}, {"name", "value"}),
            ({"fields": None, "exclude": []}, {"name", "value", "owner"}),
            ({"fields": ["value"], "exclude": ["value"]}, {"value"}),
        ],
    )
    def test_given_fields_or_exclude_expect_those(
        self, layer: FakeLayer, choice: dict[str, Any], names: set[str]
    ) -> None:
        """Item 196."""
        bind(**choice)
        Number.objects.create(name="a")
        assert set(sent(layer)[0][1]["data"]) == names

    def test_given_nothing_from_serialize_expect_nothing_sent(self, layer: FakeLayer) -> None:
        bind(serialize=lambda self, instance, action: {} if action == "update" else {"action": action})
        number = Number.objects.create(name="a")
        number.save()
        assert {action for _, action in actions(layer)} == {"create"}

    def test_given_hooks_expect_them_called_with_the_signal_s_kwargs(self, layer: FakeLayer) -> None:
        """Items 199 and 203."""
        seen: list[Any] = []

        def serialize_data(self: Any, instance: Any) -> dict[str, Any]:
            seen.append((self.instance is instance, self.signal_kwargs["update_fields"], self.signal_kwargs["raw"]))
            return {"only": instance.name}

        bind(serialize_data=serialize_data, group_names=classmethod(lambda cls, instance: ["all"]))
        number = Number.objects.create(name="a")
        number.save(update_fields=["value"])
        assert [payload["data"] for _, payload in sent(layer)] == [{"only": "a"}] * 2
        assert seen == [(True, None, False), (True, frozenset({"value"}), False)]

    def test_given_no_stream_expect_a_value_error(self, layer: FakeLayer) -> None:
        bind(stream=None)
        with pytest.raises(ValueError, match="stream"):
            Number.objects.create(name="a")

    def test_given_members_expect_their_values_under_their_names(self, layer: FakeLayer) -> None:
        """Item 204."""
        bind(
            WebsocketBindingWithMembers,
            stream="numbers",
            fields=["name"],
            send_members=["doubled", "shout", "owner.username", "owner.get_full_name", "owner.date_joined"],
            group_names=classmethod(lambda cls, instance: ["all"]),
        )
        owner = User.objects.create_user("ann", first_name="Ann", last_name="B")
        Number.objects.create(name="a", value=4, owner=owner)
        data = sent(layer)[0][1]["data"]
        assert isinstance(data.pop("owner__date_joined"), str)
        assert data == {
            "name": "a",
            "doubled": 8,
            "shout": "A",
            "owner__username": "ann",
            "owner__get_full_name": "Ann B",
        }


class TestWhen:
    @pytest.mark.django_db(transaction=True)
    def test_given_a_transaction_that_is_rolled_back_expect_it_told_all_the_same(self, layer: FakeLayer) -> None:
        """As in Channels 1.x, unless the class says otherwise."""
        bind()
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Number.objects.create(name="a")
            assert len(sent(layer)) == 2
            raise ZeroDivisionError

    @pytest.mark.django_db(transaction=True)
    def test_given_send_on_commit_expect_only_what_lasts_told_of(self, layer: FakeLayer) -> None:
        bind(send_on_commit=True, group_names=classmethod(lambda cls, instance: ["all"]))
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Number.objects.create(name="a")
            raise ZeroDivisionError
        with transaction.atomic():
            number = Number.objects.create(name="b")
            number.value = 1
            number.save()
            assert sent(layer) == []
        assert [(payload["action"], payload["data"]["value"]) for _, payload in sent(layer)] == [
            ("create", 0),
            ("update", 1),
        ]
        number.delete()
        assert actions(layer) == [("all", "delete")]

    def test_given_a_consumer_expect_it_told_when_the_consumer_has_ended(self, layer: FakeLayer) -> None:
        bind(group_names=classmethod(lambda cls, instance: ["all"]))
        with collect_sends() as collected:
            Number.objects.create(name="a")
        assert sent(layer) == []
        assert [(to.alias, send.group) for to, send in collected.sends] == [("default", "all")]  # type: ignore[union-attr]

    def test_given_a_layer_that_is_away_expect_save_to_raise_and_the_row_kept(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def deliver(sends: Any) -> NoReturn:
            raise LayerUnavailable("it is away")

        monkeypatch.setattr(layer.replies, "deliver", deliver)
        bind()
        with pytest.raises(LayerUnavailable):
            Number.objects.create(name="a")
        assert Number.objects.get().name == "a"

    def test_given_a_layer_of_its_own_expect_the_groups_there(self, layer: FakeLayer) -> None:
        """Defect 22."""
        other = FakeLayer("other")
        former = channel_layers.set("other", other)
        try:
            bind(channel_layer_alias="other")
            Number.objects.create(name="a")
        finally:
            channel_layers.set("other", former)
        assert sent(layer) == []
        assert {group for group, _ in sent(other)} == {"all", "name-a"}


class TestWhatIsRemembered:
    """What lies between the two signals of a change is on the instance."""

    def test_given_many_instances_expect_none_kept(self, layer: FakeLayer) -> None:
        bind()
        numbers = [Number.objects.create(name=str(name)) for name in range(20)]
        kept = [weakref.ref(number) for number in numbers]
        del numbers
        gc.collect()
        assert [ref for ref in kept if ref() is not None] == []

    def test_given_instances_under_way_at_the_same_time_expect_each_its_own_groups(self, layer: FakeLayer) -> None:
        bind()
        first, second = (Number.objects.create(name=name) for name in "ab")
        sent(layer)
        Bound = bind()
        for number in (first, second):
            Bound.pre_change_receiver(number, "update")
        for number in (second, first):
            Bound.post_change_receiver(number, "delete")
        assert {group for group, _ in sent(layer)} == {"all", "name-a", "name-b"}

    def test_given_a_receiver_that_saves_again_expect_both_changes_told(self, layer: FakeLayer) -> None:
        """Its save is over before ours is told of."""

        def fill_in(instance: Number, **kwargs: Any) -> None:
            if instance.value < 7:
                instance.value = 7
                instance.save()

        post_save.connect(fill_in, sender=Number)
        bind(group_names=classmethod(lambda cls, instance: ["all"]))
        number = Number.objects.create(name="a")
        assert sorted(actions(layer)) == [("all", "create"), ("all", "update")]
        number.value = 1
        number.save()
        assert actions(layer) == [("all", "update")] * 2

    def test_given_saves_that_fail_expect_little_kept_and_the_next_one_told_rightly(self, layer: FakeLayer) -> None:
        bind(group_names=classmethod(lambda cls, instance: ["all"]))
        number = Number.objects.create(name="a")
        sent(layer)
        number.owner_id = number.pk
        number.value = 2**80
        for _ in range(100):
            with pytest.raises((DatabaseError, OverflowError)), transaction.atomic():
                number.save()
        (stack,) = number._binding_group_names.values()  # type: ignore[attr-defined]
        assert len(stack) <= 16
        number.owner_id, number.value = None, 1
        number.save()
        assert actions(layer) == [("all", "update")]

    def test_given_an_instance_that_was_saved_expect_it_to_be_pickled(self, layer: FakeLayer) -> None:
        bind(group_names=classmethod(lambda cls, instance: ["all"]))
        number = Number.objects.create(name="a")
        assert pickle.loads(pickle.dumps(number)) == number  # noqa: S301 - our own
