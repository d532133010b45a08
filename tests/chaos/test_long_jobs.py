"""Jobs that take longer than the lease of their message."""

from collections.abc import Callable

import pytest

from tests.chaos.system import System
from tests.scale import FULL, scaled

pytestmark = pytest.mark.chaos

JOBS = scaled(3, 20)
#: Seconds of a job, and of a lease.
SECONDS, LEASE = scaled((4, 1), (60, 15))


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_jobs_longer_than_their_lease_expect_each_to_start_once(
    new_system: Callable[..., System], broker_url: str, redis_url: str
) -> None:
    """Given two workers with room for what the other seems to have lost / Expect no job twice."""
    options = {"lease": LEASE, "sweep_interval": 1 if FULL else 0.2}
    system = new_system(broker_url, redis_url, celery={"broker_transport_options": options})
    system.send_all(JOBS, seconds=SECONDS)
    for _ in range(2):
        system.run_worker(scaled(2, 6))
    toll = system.finish(quiet=SECONDS + 20)
    print(toll)
    assert toll.lost == [], toll
    assert toll.extra == 0, toll
    assert toll.twice == 0, toll
