"""CHANNEL_LAYERS (items 42 to 44, and 7): right is frozen, wrong names alias, key and mend."""

import inspect
import re
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from channelcelery.conf import BACKENDS, LayerConfig, layer_config
from channelcelery.exceptions import InvalidChannelLayerError
from tests.shown import shown

REDIS = "channelcelery.layers.RedisChannelLayer"
MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def config(kind: str = REDIS, /, **values: Any) -> LayerConfig:
    return layer_config("default", {"BACKEND": kind, "CONFIG": values})


class TestWhatIsRight:
    @pytest.mark.parametrize(("path", "kind"), BACKENDS.items())
    def test_given_a_known_backend_expect_its_kind(self, path: str, kind: str) -> None:
        """Items 7 and 42: the strings of Channels 1.x are understood."""
        assert layer_config("other", {"BACKEND": path}) == LayerConfig(
            alias="other", kind=kind, hosts=("redis://127.0.0.1:6379/0",) if kind == "redis" else ()
        )

    def test_given_routing_expect_it_as_it_is(self) -> None:
        """Items 42 and 64."""
        for routing in ("app.routing.routes", [object()], {"a": print}, None):
            assert layer_config("default", {"BACKEND": MEMORY, "ROUTING": routing}).routing is routing

    def test_given_what_1x_has_besides_expect_no_error(self) -> None:
        assert layer_config("default", {"BACKEND": MEMORY, "CONFIG": None, "TEST_CONFIG": {"expiry": 1}})

    @pytest.mark.parametrize(
        ("given", "urls"),
        [
            (["redis://h:1/2"], ("redis://h:1/2",)),
            (("rediss://h", "unix:///run/redis.sock?db=1"), ("rediss://h", "unix:///run/redis.sock?db=1")),
            ([("h", 6379), ["10.0.0.1", 1]], ("redis://h:6379/0", "redis://10.0.0.1:1/0")),
            ([("::1", 6379)], ("redis://[::1]:6379/0",)),
            (["redis://:secret@[::1]:6379/0"], ("redis://:secret@[::1]:6379/0",)),
        ],
    )
    def test_given_hosts_expect_urls(self, given: Any, urls: tuple[str, ...]) -> None:
        assert config(hosts=given).hosts == urls

    def test_given_the_keys_of_1x_expect_them(self) -> None:
        """Item 52: a project's own names and numbers, as asgi_redis had them."""
        values = {
            "hosts": ["redis://h:1/0"],
            "prefix": "asgi:",
            "expiry": 60,
            "group_expiry": 86400,
            "capacity": 100,
            "channel_capacity": {"http.request": 200},
            "connection_kwargs": {"username": "chat", "password": "secret"},
        }
        layer = config(**values)
        assert (layer.prefix, layer.group_expiry, layer.capacity_of("http.request")) == ("asgi:", 86400, 200)
        assert layer.connection_kwargs == values["connection_kwargs"]
        assert "secret" not in repr(layer)
        assert hash(layer)

    def test_given_nothing_expect_the_times_of_1x(self) -> None:
        """Items 52, 56, 58, 59, 110 and 122."""
        layer = config()
        assert (layer.expiry, layer.group_expiry, layer.connection_lifetime) == (60, 86_400, 86_400)
        assert (layer.http_timeout, layer.connect_timeout) == (60, 5)

    def test_given_when_memberships_end_expect_sockets_to_end_then(self) -> None:
        """Item 59: unless they are meant to live on."""
        assert config(group_expiry=300).connection_lifetime == 300
        assert config(group_expiry=300, connection_lifetime=600).connection_lifetime == 600
        assert config(connection_lifetime=600).group_expiry == 86_400

    def test_given_capacities_of_channels_expect_the_first_that_matches(self) -> None:
        """Item 52: in the order of the dict."""
        capacities = {"http.*": 5, re.compile("web"): 6, "websocket.*": 7, "a?": 8}
        layer = config(capacity=9, channel_capacity=capacities)
        names = ["http.request", "websocket.receive", "ab", "abc", "HTTP.request", "x.http.request"]
        assert [layer.capacity_of(name) for name in names] == [5, 6, 8, 9, 9, 9]

    def test_given_every_other_key_expect_it(self) -> None:
        values = {
            "prefix": "blog:",
            "expiry": 1,
            "capacity": 2,
            "message_size": 3,
            "inbox_capacity": 4,
            "inbox_bytes": 5,
            "http": "off",
            "implicit_accept": False,
            "allowed_origins": ["a.example"],
            "connect_timeout": 0.5,
            "heartbeat": 0.1,
            "node_expiry": 0.2,
        }
        layer = config(**values)
        assert {key: getattr(layer, key) for key in values} == values | {"allowed_origins": ("a.example",)}

    def test_given_origins_as_in_allowed_hosts_expect_them(self) -> None:
        hosts = ("*", ".example.com", "a.example", "[::1]", "127.0.0.1")
        assert config(allowed_origins=hosts).allowed_origins == hosts

    def test_it_is_frozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            config().prefix = "other:"  # type: ignore[misc]

    def test_every_field_is_documented(self) -> None:
        documented = set(re.findall(r"^    (\w+): ", inspect.cleandoc(LayerConfig.__doc__ or ""), re.MULTILINE))
        assert documented == {field.name for field in fields(LayerConfig)}


NUMBERS = [
    field.name
    for field in fields(LayerConfig)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]
WHOLE = [name for name in NUMBERS if isinstance(LayerConfig.__dataclass_fields__[name].default, int)]

WRONG_CONFIGS: list[tuple[str, Any, str]] = [
    *[(key, value, "write a number") for key in NUMBERS for value in (0, -1, None, "1", True, float("nan"), [1])],
    *[(key, float("inf"), "write a number") for key in NUMBERS],
    *[(key, 1e300, "write a number") for key in NUMBERS],
    *[(key, 1.5, "write a whole number") for key in WHOLE],
    *[(key, value, "True or False") for key in ("implicit_accept", "outbox") for value in (0, 1, None, "yes")],
    *[("http", value, "'worker', 'inline' or 'off'") for value in ("on", None, True, ["inline"], {})],
    *[("prefix", value, "1 to 40 letters") for value in ("", "a" * 41, "a b", "a\n", "é", None, 5, b"a")],
    *[
        ("hosts", value, "write a list of URLs")
        for value in (
            [],
            None,
            5,
            {},
            "redis://h",
            ["h:6379"],
            ["http://h"],
            [5],
            [("h",)],
            [("h", "6379")],
            [("h", True)],
            [("h", 0)],
            [("h", 65536)],
            [("h", -1)],
            [("", 6379)],
            [("h/0?db=5#", 6379)],
            ["redis://[::1"],
            ["redis://h:port"],
            ["redis://h:65536"],
            [b"redis://h"],
        )
    ],
    *[("reliable_channels", value, "write a list of globs") for value in ("orders.*", [5], {"a": 1}, None)],
    *[("channel_capacity", value, "write a dict") for value in (5, None, [("a", 1)], {5: 1}, {re.compile(b"a"): 1})],
    *[("channel_capacity", {"a*": value}, "whole number above 0") for value in (0, -1, 1.5, None, True, "5")],
    *[("allowed_origins", value, "write a list of hosts") for value in ("a.example", 5, [5], [None], True, b"a")],
    *[
        ("allowed_origins", [value], "hosts only, as in ALLOWED_HOSTS")
        for value in ("https://a.example", "a.example/", "a.example:443", "[::1]:80", "::1", "*:80")
    ],
    *[("connection_kwargs", value, "write a dict") for value in (None, [], "x", {5: 1})],
    ("connection_kwargs", {"decode_responses": True}, "'decode_responses' cannot be chosen"),
    ("symmetric_encryption_keys", ["key"], "at least 32 characters"),
    ("symmetric_encryption_keys", "k" * 32, "write a list of keys"),
    ("symmetric_encryption_keys", [32], "write a list of keys"),
    ("node_expiry", 1.5, "at least twice CONFIG['heartbeat']"),
    ("host", ["redis://h"], "no such key; there are "),
    ("alias", "x", "no such key; there are "),
    ("kind", "x", "no such key; there are "),
    ("routing", "x", "no such key; there are "),
    (5, "x", "no such key; there are "),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("key", "value", "mend"), WRONG_CONFIGS, ids=shown)
def test_given_a_wrong_key_of_config_expect_alias_key_and_mend(key: str, value: Any, mend: str) -> None:
    """Items 44 and 52."""
    with pytest.raises(InvalidChannelLayerError) as caught:
        layer_config("chat", {"BACKEND": REDIS, "CONFIG": {key: value}})
    error = caught.value
    assert (error.alias, error.key) == ("chat", f"CONFIG[{str(key)!r}]")
    assert mend in error.mend
    assert "CHANNEL_LAYERS['chat'], CONFIG[" in str(error)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("entry", "key", "mend"),
    [
        *[(entry, "the entry", "it must be a dict") for entry in (None, 5, "x", [], {"BACKEND"})],
        *[({"BACKEND": path}, "BACKEND", "write 'channelcelery.layers") for path in (None, 5, "", "a.b", [], {}, b"a")],
        ({}, "BACKEND", "write 'channelcelery.layers"),
        *[({"BACKEND": REDIS, "CONFIG": value}, "CONFIG", "it must be a dict") for value in (5, "x", [], [1], "", 0)],
        (
            {"BACKEND": REDIS, "ROUTNG": []},
            "'ROUTNG'",
            "no such key; there are BACKEND, CONFIG, ROUTING and TEST_CONFIG",
        ),
        ({"BACKEND": REDIS, "hosts": []}, "'hosts'", "no such key; there are BACKEND, CONFIG"),
    ],
    ids=shown,
)
def test_given_a_wrong_entry_expect_alias_key_and_mend(entry: Any, key: str, mend: str) -> None:
    """Item 44."""
    with pytest.raises(InvalidChannelLayerError) as caught:
        layer_config("chat", entry)
    assert (caught.value.alias, caught.value.key) == ("chat", key)
    assert mend in caught.value.mend


@pytest.mark.parametrize("name", ["asgi_rabbitmq.RabbitmqChannelLayer", "asgi_rabbitmq.RabbitmqLocalChannelLayer"])
def test_given_the_layer_of_1x_on_rabbitmq_expect_where_redis_and_where_rabbitmq_go(name: str) -> None:
    """Items 7 and 44: it is not the memory layer that such a project wants."""
    with pytest.raises(InvalidChannelLayerError) as caught:
        layer_config("default", {"BACKEND": name, "CONFIG": {"url": "amqp://guest:secret@rabbit:5672/%2F"}})
    assert caught.value.key == "BACKEND"
    for word in (name, "'channelcelery.layers.RedisChannelLayer'", "CONFIG['hosts']", "CELERY_BROKER_URL=amqp://"):
        assert word in str(caught.value)
    assert "InMemory" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_given_a_password_in_a_wrong_host_expect_it_nowhere_in_the_error() -> None:
    for hosts in (["redis://:secret@h:port"], ["http://:secret@h"], "redis://:secret@h"):
        with pytest.raises(InvalidChannelLayerError) as caught:
            config(hosts=hosts)
        assert "secret" not in str(caught.value)
        assert "secret" not in repr(caught.value.__cause__)
