"""Hold tasks that processes of their own can import: quick, failing and endless ones."""

import os
import sys
import time
from functools import partial

from planner.processes import Progress, side_by_side


def double(number: int, progress: Progress) -> int:
    progress(1.0)
    return 2 * number


def fail(progress: Progress) -> int:
    raise ValueError("no luck")


def hang(progress: Progress) -> int:
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(600)
    return 0


if __name__ == "__main__":
    side_by_side([partial(hang)] * 2, 2, lambda number, share: None)
