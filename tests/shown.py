"""How values are shown in the names of tests."""

import re

__all__ = ["shown"]


def shown(value: object) -> str:
    """Return a value as code, without its address in memory, by which two processes would name a test differently."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
