"""What consumer and task do: nothing, unless a file is named, where they write down when, and how many ran before."""

import os
import time

__all__ = ["run"]

_ran = 0


def run(stamp: str | None) -> None:
    """Count a run, and stamp a file if there is one."""
    global _ran
    if stamp is not None:
        with open(f"{stamp}.part", "w") as file:
            file.write(f"{time.monotonic_ns()} {_ran}")
        os.rename(f"{stamp}.part", stamp)
    _ran += 1
