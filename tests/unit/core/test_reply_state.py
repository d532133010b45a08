"""What only the state in memory has: the rest of it runs the contract suite, like the scripts of Redis."""

from channelcelery.core.reply_state import ReplyState


def state(*nodes: str) -> ReplyState:
    made = ReplyState(inbox_capacity=3, inbox_bytes=100, node_expiry=10)
    for node in nodes:
        made.refresh(node, now=0)
    return made


class TestExpiry:
    def test_a_node_lives_by_its_signs_of_life(self) -> None:
        made = state("a")

        assert made.is_alive("a", now=9.9)
        assert not made.is_alive("a", now=10)
        assert not made.is_alive("b", now=0)

    def test_a_reaped_node_is_buried_until_it_clears_itself(self) -> None:
        made = state("a")
        made.record("a", 0, {"t": "/p"}, (), ())

        assert made.reap(now=10) == {"a": {"t": "/p"}}
        assert made.is_buried("a")
        made.clear("a")
        assert not made.is_buried("a")

    def test_names_of_the_buried_are_not_kept_for_ever(self) -> None:
        """Given more dead nodes than names are kept of. Expect the oldest to be forgotten."""
        made = state(*(f"n{number}" for number in range(1001)))

        assert len(made.reap(now=10)) == 1001
        assert not made.is_buried("n0")
        assert made.is_buried("n1")


class TestEmptiness:
    def test_nothing_is_kept_of_groups_that_ended(self) -> None:
        """Given members of all kinds that came and went. Expect a state equal to one that never had them."""
        made = state("a", "b")
        made.join("g", "a", "t", now=0)
        made.join("g", "b", "u", now=0)
        made.add_queue("g", "jobs")
        made.leave("g", "a", "t", now=0)
        made.record("b", 0, {}, (), [("g", "u")])
        made.discard_queue("g", "jobs")
        for node in ("a", "b"):
            made.take(node, 100)

        fresh = state("a", "b")
        assert vars(made) == vars(fresh)
