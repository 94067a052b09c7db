"""Stand in for what the fitting process runs: one that hangs, one that dies, one that raises."""

import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from planner import worker
from planner.worker import Task


def hanging(pipe: Connection) -> None:
    """Fit at a seed of one, and hang at every later one."""
    _serve(pipe, lambda: time.sleep(600.0))


def dying(pipe: Connection) -> None:
    """Fit at a seed of one, and end the process at every later one, as a lack of memory does."""
    _serve(pipe, lambda: os._exit(9))


def _serve(pipe: Connection, misbehave: object) -> None:
    assert callable(misbehave)
    with suppress(EOFError):
        while True:
            task: Task = pipe.recv()
            if task.due.seeded > 1:
                misbehave()
            pipe.send(worker.made(task))
