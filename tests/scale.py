"""How much of a long test runs: a short form in `make test`, the whole in `make chaos` and `make soak`."""

import os
from typing import TypeVar

__all__ = ["FULL", "scaled"]

#: Whether the whole of each long test runs.
FULL = os.environ.get("TEST_SCALE") == "full"

Amount = TypeVar("Amount")


def scaled(short: Amount, full: Amount) -> Amount:
    """Return how much of something a test does: `short` in `make test`, `full` in `make chaos` and `make soak`."""
    return full if FULL else short
