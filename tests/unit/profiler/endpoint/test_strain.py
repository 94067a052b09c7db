"""A load generator that cannot keep up is noticed, and what it read is not taken for the engine's time."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from profiler.measure.endpoint.confidence import half_width
from profiler.measure.endpoint.strain import watching
from tests.components import REPOSITORY
from tests.openai_engine import Clockwork, serving


def test_an_event_loop_that_is_held_up_is_late_by_as_much() -> None:
    async def held_up() -> tuple[float, float]:
        async with watching() as strain:
            for _ in range(5):
                await asyncio.sleep(0.02)
                time.sleep(0.1)
            await asyncio.sleep(0.02)
        return strain.lag_s, strain.worst_s

    lag_s, worst_s = asyncio.run(held_up())

    # A tick that was due in the 5 ms after the loop was stopped comes 95 to 100 ms late, or later.
    assert worst_s >= 0.094
    assert lag_s >= 0.02


# A thread that computes gives the interpreter back to the event loop every 0.2 s only.
BUSY = """
import sys, threading
from tests.unit.profiler.endpoint.benches import *
bench = endpoint(sys.argv[1])
measured(bench, point(Phase.DECODE, 2, 100))
sys.setswitchinterval(0.2)
def compute():
    while True:
        pass
threading.Thread(target=compute, daemon=True).start()
print(refused(bench, point(Phase.DECODE, 2, 100)))
"""


def test_a_busy_load_generator_refuses_the_point_and_says_so() -> None:
    with serving(Clockwork(prefill_base_s=0.001, step_s=0.004)) as server:
        ran = subprocess.run(
            [sys.executable, "-c", BUSY, server.url],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert "the load generator ran " in ran.stdout, ran.stderr
    assert "run it on an idle machine near the endpoint" in ran.stdout


def test_the_interval_of_a_mean_is_student_s() -> None:
    # t is 2.776 for 5 values, 2.093 for 20 and infinite for one.
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776 * 2.5**0.5 / 5**0.5, rel=1e-3)
    twenty = [float(i) for i in range(20)]
    assert half_width(twenty) == pytest.approx(2.093 * 35**0.5 / 20**0.5, rel=3e-3)
    assert half_width([1.0]) == float("inf")
    assert half_width([3.0, 3.0, 3.0]) == 0.0
