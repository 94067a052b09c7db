"""Processes answer in order, and none outlives the one that started it."""

import multiprocessing
import subprocess
import sys
import time
from functools import partial

import pytest

from planner.processes import side_by_side
from tests.components import REPOSITORY
from tests.unit.replay.tasks import double, fail, hang


def test_answers_come_in_the_order_of_the_tasks_and_progress_is_told() -> None:
    told: dict[int, float] = {}

    answers = side_by_side([partial(double, n) for n in (3, 1, 2)], 2, told.__setitem__)

    assert answers == (6, 2, 4)
    assert set(told) == {0, 1, 2}


def test_a_task_that_fails_does_not_wait_for_the_others() -> None:
    began_s = time.monotonic()

    with pytest.raises(ValueError, match="no luck"):
        side_by_side([hang, fail], 2, lambda number, share: None)

    # Two processes begin within seconds; the endless task would take ten minutes.
    assert time.monotonic() - began_s < 30
    assert multiprocessing.active_children() == []


def test_processes_end_with_the_one_that_started_them_however_it_ended() -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.replay.tasks"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert started.stdout is not None
    assert all(int(started.stdout.readline()) for _ in range(2))

    started.kill()

    # Both workers hold the pipe, which ends when the last of them is gone.
    assert started.communicate(timeout=20)[0] == ""
