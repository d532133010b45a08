"""Who saw an instance before a change that is under way; kept on the instance, so that it ends with it."""

from collections import deque
from typing import Any

__all__ = ["recall", "remember"]

#: The attribute: binding class -> groups, innermost change last. The name is that of Channels 1.x.
_BEFORE = "_binding_group_names"
#: How many changes of one instance may be inside each other. A failed one is never recalled, and must not pile up.
_DEEPEST = 16


def remember(instance: Any, binding: type, groups: set[str]) -> None:
    """Keep the groups that see an instance before a change.

    They are stacked, since a receiver of the same signals may save the instance again.

    Args:
        instance: what is about to change.
        binding: whose groups they are.
        groups: their names.
    """
    before: dict[type, deque[set[str]]] = instance.__dict__.setdefault(_BEFORE, {})
    before.setdefault(binding, deque(maxlen=_DEEPEST)).append(groups)


def recall(instance: Any, binding: type) -> set[str]:
    """Return, once, what was kept before the innermost change of an instance; nothing if that was not signalled."""
    before: dict[type, deque[set[str]]] = instance.__dict__.get(_BEFORE, {})
    stack = before.get(binding)
    if not stack:
        return set()
    groups = stack.pop()
    if not stack:
        del before[binding]  # with it, an instance would not be pickled where its binding cannot be
    return groups
