"""What is to be done with sockets, made once for many of them."""

import pytest

from channelcelery.core.websocket import Accept, SendBytes, SendText
from channelcelery.interface.events import Plan


@pytest.mark.parametrize("text", ["x" * 1_000, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 1_000, "\N{SNOWMAN}" * 1_000])
def test_a_text_counts_as_many_bytes_as_it_holds_in_memory(text: str) -> None:
    """Expect no less than a byte for each of the widest characters in it, but what the object itself takes."""
    widest = 2 if ord(text[0]) > 255 else 1
    assert 1_000 * widest <= Plan([SendText(text)]).size < 1_000 * widest + 100


def test_what_waits_is_its_bytes_alone_and_counts_as_these() -> None:
    """Given a text whose bytes are more than its characters / Expect no text to be held beside them."""
    plan = Plan([SendText("\N{SNOWMAN}" * 1_000)])
    packed = plan.packed
    assert packed is plan.packed, "one for all sockets"
    assert packed.is_data
    assert packed.actions == ()
    assert packed.frame == plan.frame
    assert len(plan.frame) > 3_000
    assert len(plan.frame) <= packed.size < len(plan.frame) + 100


def test_an_acceptance_and_bytes_are_counted_by_the_bytes() -> None:
    assert 10 <= Plan([Accept(), SendBytes(b"0123456789")]).size < 100
    assert Plan([Accept()]).size == 0
