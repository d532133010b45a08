"""Models bound to one stream of a multiplexed WebSocket (Channels 1.x, items 196 to 205; defect 7)."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.serializers.base import DeserializedObject
from django.core.serializers.json import DjangoJSONEncoder

from channelcelery.binding.base import Binding
from channelcelery.core.bursts import Bursts
from channelcelery.generic.multiplexer import WebsocketMultiplexer
from channelcelery.message import Message
from channelcelery.sessions import enforce_ordering

__all__ = ["WebsocketBinding", "WebsocketBindingWithMembers"]

log = logging.getLogger("django.channels.binding")
_bursts = Bursts()


class WebsocketBinding(Binding):
    """A model on a stream: define `group_names` for changes to be sent, `has_permission` for those that come in.

    What is sent is `{"action", "pk", "data", "model"}` (item 198); what comes in is `{"action", "pk", "data"}`, and is
    not validated beyond its types: override `create` and `update`, or have the model's `save` do it.
    """

    model: ClassVar[Any] = None
    #: whether messages are handled one after another, in order
    strict_ordering: ClassVar[bool] = False
    #: whether no message is handled before connect was
    slight_ordering: ClassVar[bool] = False

    @classmethod
    def _all_fields(cls) -> bool:
        """Tell whether `fields` is "__all__", by itself or in a list (defect 7)."""
        return cls.fields is not None and (cls.fields == "__all__" or list(cls.fields) == ["__all__"])

    # outbound

    @classmethod
    def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
        return WebsocketMultiplexer.encode(stream, payload)

    def serialize(self, instance: Any, action: str) -> dict[str, Any]:
        return {
            "action": action,
            "pk": instance.pk,
            "data": self.serialize_data(instance),
            "model": self.model_label,
        }

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        """Return the values of an instance's fields, as JSON knows them."""
        names: Sequence[str] | None
        if self._all_fields():
            names = None
        elif self.fields is not None:
            names = self.fields
        else:
            names = [field.name for field in instance._meta.get_fields() if field.name not in (self.exclude or ())]
        (serialized,) = json.loads(serializers.serialize("json", [instance], fields=names))
        values: dict[str, Any] = serialized["fields"]
        return values

    # inbound

    @classmethod
    def get_handler(cls) -> Callable[..., Any]:
        handler = super().get_handler()
        if cls.strict_ordering or cls.slight_ordering:
            return enforce_ordering(handler, slight=not cls.strict_ordering)
        return handler

    @classmethod
    def trigger_inbound(cls, message: Message, **kwargs: Any) -> None:
        """Do what a frame asks for; connect and disconnect ask for nothing (item 202)."""
        if message.channel.name == "websocket.receive":
            super().trigger_inbound(message, **kwargs)

    def deserialize(self, message: Message) -> tuple[str, Any, Any]:
        """Return action, pk and data of a payload that a demultiplexer hands on.

        Raises:
            ValueError: it names no action, or is no JSON object.
        """
        body = json.loads(message["text"])
        if not isinstance(body, dict) or not isinstance(body.get("action"), str):
            raise ValueError("Invalid binding frame received (no action)")
        return body["action"], body.get("pk"), body.get("data")

    def create(self, data: Any) -> Any:
        """Insert an instance with those values of `data` that are of fields to take (defect 7).

        Raises:
            ValueError: `data` is no dict.
            django.core.serializers.base.DeserializationError: a value is not of its field's type.
        """
        hydrated = self._hydrate(None, self._taken(data, keys=self.fields or ()))
        # saved as any other new instance: 1.1.8 did it "raw", without auto_now and the model's own save
        hydrated.object.save(force_insert=True)
        _set_many_to_many(hydrated.object, hydrated)

    def update(self, pk: Any, data: Any) -> Any:
        """Change an instance, except for its primary key; one that is not there is logged only.

        Args:
            pk: its primary key.
            data: values by field; those of fields that are not to be taken are left out.

        Raises:
            ValueError: `data` is no dict.
            django.core.serializers.base.DeserializationError: a value is not of its field's type.
        """
        taken = self._taken(data)
        instance = self._find(pk)
        if instance is None:
            _log_missing(self.model_label)
            return
        hydrated = self._hydrate(pk, taken)
        for field in self.model._meta.concrete_fields:
            if field.name in taken:
                setattr(instance, field.attname, getattr(hydrated.object, field.attname))
        instance.save()
        _set_many_to_many(instance, hydrated)

    def delete(self, pk: Any) -> Any:
        instance = self._find(pk)
        if instance is not None:
            super().delete(instance.pk)

    def _find(self, pk: Any) -> Any:
        """Return the instance with a key that a client sent, or None."""
        try:
            key = self.model._meta.pk.to_python(pk)
        except ValidationError:
            return None
        return self.model.objects.filter(pk=key).first()

    def _taken(self, data: Any, keys: Sequence[str] = ()) -> dict[str, Any]:
        """Return what of a payload's data goes into the model.

        Args:
            data: what the client sent.
            keys: names of primary keys that may be among it; any other would let a client choose the row.
        """
        if not isinstance(data, dict):
            raise ValueError(f"data of a binding frame must be an object, not {type(data).__name__}")
        meta = self.model._meta
        names = {field.name for field in (*meta.concrete_fields, *meta.many_to_many)}
        names -= {field.name for field in meta.concrete_fields if field.primary_key} - set(keys)
        if self.fields is None:
            names -= set(self.exclude or ())
        elif not self._all_fields():
            names &= set(self.fields)
        return {name: value for name, value in data.items() if name in names}

    def _hydrate(self, pk: Any, data: dict[str, Any]) -> DeserializedObject:
        """Return an instance, not saved, with values by field."""
        serialized = {"pk": pk, "model": self.model_label, "fields": data}
        (hydrated,) = serializers.deserialize("python", [serialized])
        return hydrated


class WebsocketBindingWithMembers(WebsocketBinding):
    """A binding that sends attributes, properties and results of methods too (item 204)."""

    model: ClassVar[Any] = None
    #: their names; those with dots lead through related objects, and are sent with `__` for each dot
    send_members: ClassVar[Sequence[str]] = []
    #: encodes their values
    encoder: ClassVar[json.JSONEncoder] = DjangoJSONEncoder()

    def serialize_data(self, instance: Any) -> dict[str, Any]:
        members = {}
        for path in self.send_members:
            member = instance
            for name in path.split("."):
                member = getattr(member, name)
            members[path.replace(".", "__")] = member() if callable(member) else member
        decoded: dict[str, Any] = json.loads(self.encoder.encode(members))
        return super().serialize_data(instance) | decoded


def _set_many_to_many(instance: Any, hydrated: DeserializedObject) -> None:
    for name, values in (hydrated.m2m_data or {}).items():
        getattr(instance, name).set(values)


def _log_missing(label: str) -> None:
    missed = _bursts.hit("missing", time.monotonic())
    if missed is not None:
        log.warning("An update of a %s that is not there was dropped (%d more before, unlogged)", label, missed)
