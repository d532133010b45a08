"""Which transport the connections of a Celery app get."""

import pytest
from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport.memory import Transport as MemoryTransport
from kombu.transport.pyamqp import Transport as AmqpTransport
from kombu.transport.redis import Transport

from channelcelery.broker.safe_app import SafeConnection, is_safe, make_safe
from channelcelery.broker.safe_redis import SafeSentinelTransport, SafeTransport


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://localhost/1", SafeTransport),
        ("rediss://localhost/1", SafeTransport),
        ("redis+socket:///tmp/redis.sock", SafeTransport),
        ("sentinel://localhost:26379", SafeSentinelTransport),
        ("amqp://localhost//", AmqpTransport),
        ("memory://", MemoryTransport),
    ],
)
@pytest.mark.filterwarnings("ignore:Secure redis scheme")
def test_redis_alone_gets_the_safe_transport(url: str, transport: type) -> None:
    """Given an app on a broker / If it is made safe / Expect the safe transport on Redis, and no other change."""
    app = make_safe(make_safe(Celery(broker=url)))
    for connection in (app.connection_for_read(), app.connection_for_write(), app.connection_for_read().clone()):
        assert connection.get_transport_cls() is transport
    with app.pool.acquire() as pooled:  # senders take theirs from here
        assert pooled.get_transport_cls() is transport
    assert is_safe(app)


def test_a_fallback_gets_it_too() -> None:
    """Given a broker with two hosts / If the first fails / Expect the safe transport on the second."""
    connection = make_safe(Celery(broker="redis://one;redis://two")).connection_for_read()
    connection.maybe_switch_next()
    assert (connection.hostname, connection.get_transport_cls()) == ("two", SafeTransport)


def test_other_apps_stay_as_they_are() -> None:
    """Given two apps on one broker / If one is made safe / Expect the other's transport and pool to be its own."""
    safe, other = make_safe(Celery(broker="redis://localhost")), Celery(broker="redis://localhost")
    assert (is_safe(safe), is_safe(other)) == (True, False)
    assert other.connection_for_read().get_transport_cls() is Transport
    assert safe.pool is not other.pool
    assert safe.pool.connection.__eqhash__() != other.pool.connection.__eqhash__()


def test_an_app_that_has_begun_and_one_with_its_own_class() -> None:
    """Given an app that has made its connections' factory, or has one of its own / Expect both to be safe."""

    class Mine(AMQP):
        mine = True

    begun = Celery(broker="redis://localhost")
    assert begun.amqp.Connection is Connection
    assert make_safe(begun).amqp.Connection is SafeConnection
    own = make_safe(Celery(broker="redis://localhost", amqp=Mine))
    assert (own.amqp.mine, is_safe(own)) == (True, True)
