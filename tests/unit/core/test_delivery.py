"""Which inbox entries carry which sends, and what their fates add up to."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.delivery import (
    ENTRY_BYTES,
    ENTRY_REPLIES,
    Operation,
    Outcome,
    Replies,
    Tally,
    host_of,
    plan,
    spread,
    tally,
)
from channelcelery.core.sends import GroupSend, ReplySend

TOKEN = "t"


def reply(node: str, content: bytes = b"\x80", *, token: str = TOKEN, control: bool = False) -> ReplySend:
    return ReplySend(f"websocket.send!{node}.{token}", node, token, content, control)


def group(name: str = "g", content: bytes = b"\x80") -> GroupSend:
    return GroupSend(name, content)


SENDS = st.lists(
    st.one_of(
        st.builds(reply, st.sampled_from("abc"), st.integers(0, 5).map(lambda size: b"x" * size * ENTRY_BYTES)),
        st.builds(group, st.sampled_from("gh")),
    ).flatmap(lambda send: st.integers(1, 300).map(lambda times: [send] * (times if len(send.content) < 9 else 1))),
    max_size=12,
).map(lambda runs: [send for run in runs for send in run])


def seen_by(node: str, operations: Sequence[Operation | ReplySend]) -> list[ReplySend | GroupSend]:
    """What one node is to get, in order, if every group has a member there."""
    seen: list[ReplySend | GroupSend] = []
    for operation in operations:
        if isinstance(operation, Replies):
            seen += operation.sends if operation.node == node else ()
        elif isinstance(operation, GroupSend) or operation.node == node:
            seen.append(operation)
    return seen


class TestPlan:
    def test_nothing_needs_nothing(self) -> None:
        assert plan([]) == []

    def test_replies_to_one_node_share_an_entry(self) -> None:
        """Given replies to two nodes in turns. Expect one entry for each, in order of first appearance."""
        sends = [reply("a", b"1"), reply("b", b"2"), reply("a", b"3")]

        assert plan(sends) == [Replies("a", (sends[0], sends[2])), Replies("b", (sends[1],))]

    def test_a_group_send_ends_the_entries(self) -> None:
        """Given a group send between replies. Expect it between their entries, since it may be for the same node."""
        first, second, third = reply("a", b"1"), group(), reply("a", b"2")

        assert plan([first, second, third]) == [Replies("a", (first,)), second, Replies("a", (third,))]

    def test_an_entry_holds_a_bounded_number(self) -> None:
        sizes = [len(operation.sends) for operation in plan([reply("a")] * (ENTRY_REPLIES + 1))]  # type: ignore[union-attr]

        assert sizes == [ENTRY_REPLIES, 1]

    def test_a_large_reply_has_an_entry_of_its_own(self) -> None:
        small, large = reply("a"), reply("a", b"x" * ENTRY_BYTES)

        assert plan([small, large, small]) == [Replies("a", (s,)) for s in (small, large, small)]

    @given(SENDS)
    def test_each_node_gets_all_of_its_own_in_order(self, sends: list[ReplySend | GroupSend]) -> None:
        operations = plan(sends)

        for node in "abc":
            assert seen_by(node, operations) == seen_by(node, sends)

    @given(SENDS)
    def test_entries_are_bounded_and_few(self, sends: list[ReplySend | GroupSend]) -> None:
        """Expect no empty and no overfull entry, and two neighbours of one node only where one would be overfull."""
        operations = plan(sends)

        for operation in operations:
            if isinstance(operation, Replies):
                size = sum(len(send.content) for send in operation.sends)
                assert 1 <= len(operation.sends) <= ENTRY_REPLIES
                assert size <= ENTRY_BYTES or len(operation.sends) == 1
        for before, after in pairwise(operations):
            if isinstance(before, Replies) and isinstance(after, Replies) and before.node == after.node:
                size = sum(len(send.content) for send in (*before.sends, after.sends[0]))
                assert len(before.sends) == ENTRY_REPLIES or size > ENTRY_BYTES


class TestSpread:
    def test_one_host_gets_all(self) -> None:
        sends = [reply("a"), group()]

        assert spread(sends, 1) == [sends]

    @given(SENDS, st.integers(2, 5))
    def test_a_host_gets_its_nodes_replies_and_every_group_send(
        self, sends: list[ReplySend | GroupSend], hosts: int
    ) -> None:
        parts = spread(sends, hosts)

        assert len(parts) == hosts
        for host, part in enumerate(parts):
            assert part == [s for s in sends if isinstance(s, GroupSend) or host_of(s.node, hosts) == host]

    def test_names_are_spread_in_a_way_that_never_changes(self) -> None:
        """Processes of different versions must agree. Expect what CRC-32 gave when this was written."""
        assert [host_of(name, 3) for name in ("node-a", "node-b", "node-c", "node-d")] == [2, 0, 0, 1]
        assert host_of("anything", 1) == 0


class TestTally:
    @pytest.mark.parametrize("operation", [Replies("a", (reply("a"),)), group()])
    def test_success_says_nothing(self, operation: Operation) -> None:
        assert tally([(operation, Outcome())]) == Tally()

    def test_refused_replies_are_named_once_and_counted_each(self) -> None:
        sends = (reply("a", token="t"), reply("a", token="t"), reply("a", token="u"))

        found = tally([(Replies("a", sends), Outcome(full=1))])

        assert found == Tally(full=(sends[0].channel, sends[2].channel), dropped={"inbox_full": 3})

    def test_a_refused_accept_or_close_is_to_be_sent_again(self) -> None:
        text, close = reply("a"), reply("a", token="u", control=True)

        found = tally([(Replies("a", (close, text, close)), Outcome(full=1))])

        assert found == Tally(full=(text.channel,), dropped={"inbox_full": 1}, again=(close, close))

    def test_replies_to_a_dead_node_are_counted_even_where_they_control(self) -> None:
        found = tally([(Replies("a", (reply("a"), reply("a", control=True))), Outcome(gone=1))])

        assert found == Tally(dropped={"node_gone": 2})

    def test_a_group_send_counts_nodes_and_forwards_to_queues(self) -> None:
        found = tally([(group("g", b"content"), Outcome(full=2, gone=1, forward=("jobs", "audit")))])

        assert found == Tally(
            dropped={"inbox_full": 2, "node_gone": 1}, forward=(("jobs", b"content"), ("audit", b"content"))
        )

    def test_tallies_add_up(self) -> None:
        one = Tally(("a", "b"), {"inbox_full": 1}, (("q", b"1"),), (reply("a"),))
        other = Tally(("b", "c"), {"inbox_full": 2, "node_gone": 1}, (("q", b"2"),), ())

        assert one + other == Tally(
            ("a", "b", "c"), {"inbox_full": 3, "node_gone": 1}, (("q", b"1"), ("q", b"2")), (reply("a"),)
        )
