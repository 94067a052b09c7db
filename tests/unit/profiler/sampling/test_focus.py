"""Focus: what the selection reads of a surface, of layouts that may still win, and what errors do to it."""

from dataclasses import replace

import numpy as np
import pytest

from models.artifact import Question
from models.mix import RequestAtom, RequestMix
from models.surface import Surface
from models.values import Parallelism
from profiler.sampling.focus import Focus, Spot, reading, rows
from profiler.tasks import Grid
from tests.unit.profiler.sampling.engines import (
    CHUNK_TOKENS,
    Law,
    decode_grid,
    prefill_grid,
    read_s,
    replica,
    step_s,
    times,
)

CHAT = Question(100.0, RequestMix.constant(2000, 500), 0.99, ttft_s=1.0, itl_s=0.0035)


def surface(grid: Grid, law: Law, slower: float = 1.0) -> Surface:
    values = times(grid, law) * slower
    return Surface(grid.tokens, grid.batches, tuple(tuple(float(v) for v in row) for row in values))


def test_decode_is_read_at_the_largest_batch_that_the_promise_allows() -> None:
    grid = decode_grid()
    steps = surface(grid, step_s)

    (spot,) = reading(CHAT, grid, replica(), steps)

    assert spot.tokens == pytest.approx(2250)
    assert steps.at(spot.tokens, spot.batch) <= 0.0035
    assert steps.at(spot.tokens, spot.batch * 1.05) > 0.0035


def test_an_answer_with_a_deadline_bounds_the_step_by_its_length() -> None:
    grid = decode_grid()
    steps = surface(grid, step_s)

    pages = replace(CHAT, itl_s=None, e2e_s=0.0035 * 500)

    assert reading(pages, grid, replica(), steps) == reading(CHAT, grid, replica(), steps)


def test_the_cache_bounds_the_batch_that_is_read() -> None:
    grid = decode_grid()

    # A place is given for the whole request, 2,500 tokens.
    (spot,) = reading(CHAT, grid, replica(kv_capacity_tokens=25_000), surface(grid, step_s))

    assert spot.batch == pytest.approx(10.0)


def test_prompts_are_read_in_full_passes_each_by_its_share() -> None:
    atoms = (RequestAtom(1000, 100, 0, 0.75), RequestAtom(30_000, 100, 10_000, 0.25))
    grid = prefill_grid()

    short, long = reading(replace(CHAT, mix=RequestMix(atoms)), grid, replica(), surface(grid, read_s))

    assert short == Spot(1000, CHUNK_TOKENS / 1000, 0.75 / (CHUNK_TOKENS / 1000))
    assert long == Spot(20_000, 1.0, 0.25)


def test_a_layout_that_cannot_keep_the_promise_is_not_looked_at() -> None:
    grid = decode_grid()
    slow = surface(grid, step_s, slower=3.0)

    assert reading(CHAT, grid, replica(), slow) == ()
    assert Focus(CHAT)(grid, replica(), slow) == ()
    assert rows((), slow).shape == (0, grid.size)


@pytest.mark.parametrize(("slower", "looked_at"), [(1.1, 1), (1.3, 0)])
def test_only_layouts_near_the_cheapest_are_looked_at(slower: float, looked_at: int) -> None:
    focus, rival = Focus(CHAT), prefill_grid(Parallelism(tp=2))
    grid = prefill_grid()

    assert len(focus(grid, replica(), surface(grid, read_s))) == 1
    # Twice the GPUs at half the time come to the same.
    assert len(focus(rival, replica(), surface(rival, read_s, slower=slower / 2))) == looked_at


def test_the_cheapest_is_looked_at_again_whatever_came_before() -> None:
    focus, grid, rival = Focus(CHAT), prefill_grid(), prefill_grid(Parallelism(tp=2))

    focus(grid, replica(), surface(grid, read_s))
    assert len(focus(rival, replica(), surface(rival, read_s, slower=0.3))) == 1
    assert focus(grid, replica(), surface(grid, read_s)) == ()
    # Its rival's first surface was far too quick.
    focus(rival, replica(), surface(rival, read_s, slower=0.6))
    assert len(focus(grid, replica(), surface(grid, read_s))) == 1


def test_a_row_says_what_an_error_at_a_point_does_to_the_reading() -> None:
    grid = decode_grid()
    true = surface(grid, step_s)
    spots = (Spot(2250, 150.0, 2.0), Spot(9000, 20.0, 0.5))
    noise = np.random.default_rng(2).normal(0.0, 1e-4, grid.size)

    off = np.array(true.values_s).ravel() * np.exp(noise)
    shape = len(grid.tokens), len(grid.batches)
    noisy = replace(true, values_s=tuple(tuple(float(v) for v in row) for row in off.reshape(shape)))

    def read(found: Surface) -> float:
        return sum(s.weight * found.at(s.tokens, s.batch) for s in spots)

    (row,) = rows((spots,), true)
    assert row.sum() == pytest.approx(1.0)
    assert row @ noise == pytest.approx(read(noisy) / read(true) - 1.0, rel=1e-3)
