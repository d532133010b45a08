"""When a process may take others for dead."""

from channelcelery.broker.leases import Patience


def _answered(patience: Patience, *times: float) -> list[bool]:
    results = []
    for now in times:
        results.append(patience.over(now))
        patience.answered(now)
    return results


def test_the_living_get_the_time_to_renew() -> None:
    """Given a lease of 15 s / If Redis answers every second / Expect patience to end after 10 s."""
    assert _answered(Patience(15), *range(12)) == [False] * 10 + [True, True]


def test_patience_begins_anew_after_a_failure() -> None:
    """Given a patience that is over / If Redis fails once / Expect it to begin anew."""
    patience = Patience(3)
    assert _answered(patience, 0, 1, 2) == [False, False, True]
    patience.failed()
    assert _answered(patience, 3, 4, 5) == [False, False, True]


def test_patience_begins_anew_after_a_gap() -> None:
    """Given a patience that is over / If Redis was not asked for a third of a lease / Expect it to begin anew."""
    patience = Patience(3)
    _answered(patience, 0, 1, 2)
    patience.answered(4)
    assert not patience.over(5)
