"""When a fault is worth a line."""

from channelcelery.core.bursts import Bursts


def test_first_then_once_per_interval_with_the_count() -> None:
    bursts = Bursts(interval=10)
    assert [bursts.hit("a", now) for now in (0, 1, 9.9)] == [0, None, None]
    assert bursts.hit("a", 10) == 2
    assert bursts.hit("a", 11) is None
    assert bursts.hit("a", 100) == 1


def test_kinds_do_not_silence_each_other() -> None:
    bursts = Bursts(interval=10)
    assert bursts.hit("a", 0) == 0
    assert bursts.hit("b", 1) == 0
    assert bursts.hit("a", 2) is None
