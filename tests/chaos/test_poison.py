"""Messages whose consumers cannot end well."""

from collections import Counter

import pytest

from tests.chaos.system import System
from tests.scale import scaled

pytestmark = pytest.mark.chaos

#: How a consumer of the channel `poison` ends, and the reason of its death; it may run three times.
REASONS = {"raise": "raised", "exit": "killed", "exceed": "timed_out"}
EACH = scaled(1, 20)
NEIGHBOURS = scaled(20, 1000)


@pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)
def test_given_poison_expect_as_many_runs_as_allowed_and_then_dead_letters(system: System) -> None:
    """Given messages that raise, exit their process, or exceed their time limit / Expect them dead, others handled."""
    for step, how in enumerate(REASONS):
        system.send_all(EACH, channel="poison", first=step * EACH, how=how)
    system.send_all(NEIGHBOURS)
    system.run_worker(4)
    system.wait_for_letters(len(REASONS) * EACH, timeout=600)
    toll = system.finish(quiet=45)
    runs = Counter((effect.what, effect.identity) for effect in system.effects.all if effect.channel == "poison")
    print(toll, f"; runs of poison: {sorted(Counter(runs.values()).items())}")
    assert toll.lost == [], toll
    letters = Counter(system.letters("channel", "reason"))
    assert letters == {("poison", reason): EACH for reason in REASONS.values()}
    for how, reason in REASONS.items():
        mine = [count for (what, _), count in runs.items() if what == f"poison-{how}"]
        assert len(mine) == EACH
        assert max(mine) <= 3, f"{reason}: {mine}"
    assert {attempts for (attempts,) in system.letters("attempts")} == {3}


@pytest.mark.parametrize("broker_url", scaled(["amqp"], ["redis", "amqp"]), indirect=True)
def test_given_dead_letters_that_are_replayed_expect_each_handled(system: System) -> None:
    system.send_all(100, channel="mended")
    system.run_worker(4)
    system.wait_for_letters(100)
    system.notes.with_suffix(".mended").touch()
    system.manage("deadletters", "replay", "--channel", "mended")
    toll = system.finish(quiet=30, channels=("mended",))
    print(toll)
    assert toll.sent == toll.starts == 100, toll
    assert toll.lost == [], toll
    assert toll.dead == 0, toll
