"""Which connection is in which group, and what Redis has yet to be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core import membership
from channelcelery.core.membership import Changes, Memberships

names = st.sampled_from("abc")
operations = st.lists(st.tuples(st.sampled_from(["join", "leave", "remove"]), names, names), max_size=40)


@given(operations)
def test_both_indexes_agree_with_a_plain_set_of_pairs(steps: list[tuple[str, str, str]]) -> None:
    memberships, pairs = Memberships(), set()
    for step, group, token in steps:
        if step == "join":
            memberships.join(group, token, 0)
            pairs.add((group, token))
        elif step == "leave":
            memberships.leave(group, token)
            pairs.discard((group, token))
        else:
            left = memberships.remove(token)
            assert sorted(left) == sorted(g for g, t in pairs if t == token)
            pairs = {pair for pair in pairs if pair[1] != token}
        found = {(g, t) for g, tokens in memberships.snapshot().items() for t in tokens}
        assert found == pairs
        assert set(memberships.members(group)) == {t for g, t in pairs if g == group}
    assert all(memberships.snapshot().values()), "empty groups are not kept"


def test_what_was_not_renewed_ends() -> None:
    """Item 58: given members added at 0, 1 and 2, the first again at 3. Expect the second to be too old
    for those who want all since 2."""
    memberships = Memberships()
    for now, token in enumerate("abca"):
        memberships.join("g", token, now)
    memberships.join("h", "b", 2)
    assert memberships.expired(2, 10) == [("g", "b")]
    assert memberships.expired(float("-inf"), 10) == []
    assert sorted(memberships.expired(10, 10)) == [("g", "a"), ("g", "b"), ("g", "c"), ("h", "b")]


@given(st.integers(0, 60), st.integers(1, 70))
def test_what_is_too_old_is_found_in_some_calls(count: int, limit: int) -> None:
    """Item 58: given many groups, expect each call to look at some of them, and all to be found in the end."""
    memberships, found = Memberships(), set()
    for number in range(count):
        memberships.join(f"g{number % 30}", f"t{number}", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(membership, "_LOOKED_AT", 7)
        for _ in range(200):
            some = memberships.expired(count, limit)
            assert len(some) <= limit
            found.update(some)
            for group, token in some:
                memberships.leave(group, token)
    assert len(found) == count
    assert memberships.snapshot() == {}


def test_clear_forgets_everything() -> None:
    memberships = Memberships()
    memberships.join("g", "t", 0)
    memberships.clear()
    assert memberships.snapshot() == {}
    assert memberships.remove("t") == ()


def test_a_socket_that_opened_and_closed_between_two_reports_is_not_reported() -> None:
    changes = Changes()
    changes.open("t", "/")
    changes.close("t", [])
    assert not changes


def test_but_it_is_if_others_may_keep_something_of_it() -> None:
    changes = Changes()
    changes.open("t", "/")
    changes.close("t", [], known=True)
    assert changes.take() == Changes({}, {"t"}, set())


def test_but_its_memberships_are_since_the_sender_wrote_them() -> None:
    changes = Changes()
    changes.open("t", "/")
    changes.close("t", ["g"])
    assert changes.take() == Changes({}, set(), {("g", "t")})


def test_take_begins_anew() -> None:
    changes = Changes()
    changes.open("t", "/")
    taken = changes.take()
    changes.open("u", "/")
    assert taken == Changes({"t": "/"}, set(), set())
    assert changes == Changes({"u": "/"}, set(), set())


def test_what_closed_while_a_report_failed_is_reported_as_closed_only() -> None:
    """Given a report that failed after Redis may have taken it, If the socket closed meanwhile, Expect one close."""
    changes = Changes()
    changes.open("t", "/")
    changes.open("u", "/u")
    taken = changes.take()
    changes.close("t", ["g"])
    changes.open("v", "/v")
    changes.put_back(taken)
    assert changes.take() == Changes({"u": "/u", "v": "/v"}, {"t"}, {("g", "t")})


def test_a_failed_report_is_told_again() -> None:
    changes = Changes()
    changes.close("t", ["g"])
    taken = changes.take()
    assert not changes
    changes.put_back(taken)
    assert changes.take() == taken
