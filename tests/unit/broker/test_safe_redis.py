"""Which Redis servers the safe transport takes."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from channelcelery.broker.safe_redis import check_server


@pytest.mark.parametrize("version", ["7.0.0", "7.0.15", "8.2.1", "255.255.255"])
def test_given_a_new_one_expect_no_refusal(version: str) -> None:
    check_server({"redis_version": version, "redis_mode": "standalone"})


def test_if_it_does_not_say_expect_no_refusal() -> None:
    check_server({})


@pytest.mark.parametrize("version", ["2.8.19", "5.0.14", "6.2.18"])
def test_given_an_old_one_expect_a_refusal_that_names_what_is_needed(version: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"Redis {version}.*7\.0 or newer"):
        check_server({"redis_version": version, "redis_mode": "standalone"})


def test_given_a_cluster_expect_a_refusal() -> None:
    with pytest.raises(ImproperlyConfigured, match="Redis Cluster"):
        check_server({"redis_version": "7.2.0", "redis_mode": "cluster"})
