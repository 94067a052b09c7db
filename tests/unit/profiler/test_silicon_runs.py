"""The silicon backend against published runs, and a whole sweep of it."""

import time

import pytest

from config import reference
from models.values import Role
from profiler.layouts import candidates
from profiler.measure.backend import Measurement
from profiler.measure.silicon.estimator import Silicon
from profiler.measure.silicon.overheads import FITTED
from profiler.planning import RoleBench, Scope, plan
from tests import components
from tests.bench import silicon_fit, silicon_sample
from tests.bench.calibrate import TARGETS, Target
from tests.bench.measured import mape

by_engine = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.engine)


@by_engine
def test_tpot_agrees_with_published_runs(target: Target) -> None:
    steps = silicon_fit.steps(target)
    layers = silicon_fit.backend(target.engine, target.model).arch.layers

    errors = [step.error(FITTED[target.engine], layers) for step in steps]

    # 5.0 % and 4.7 %; two runs of DEP2 at batch 247 are a third apart from each other.
    assert mape(errors) <= 0.08
    assert max(map(abs, errors)) <= 0.25


@by_engine
def test_overheads_in_use_are_those_that_the_runs_give(target: Target) -> None:
    fitted = silicon_fit.fit(target, silicon_fit.steps(target))
    layers = silicon_fit.backend(target.engine, target.model).arch.layers

    # The valley is flat along constants that the runs barely tell apart: steps are compared, not constants.
    for step in silicon_fit.steps(target):
        assert step.error(FITTED[target.engine], layers) == pytest.approx(
            step.error(fitted, layers), abs=0.02
        )
    assert silicon_fit.first_token_s(target, FITTED[target.engine]) == pytest.approx(
        target.first_token_s, rel=0.05
    )
    assert silicon_fit.bulk_tokens_per_s_per_gpu(target, FITTED[target.engine]) == pytest.approx(
        target.bulk_tokens_per_s_per_gpu, rel=0.03
    )


@by_engine
def test_overheads_matter(target: Target) -> None:
    layers = silicon_fit.backend(target.engine, target.model).arch.layers
    steps = silicon_fit.steps(target)

    kernels = mape([step.error(silicon_fit.NOTHING, layers) for step in steps])

    assert kernels > mape([step.error(FITTED[target.engine], layers) for step in steps]) + 0.01


def test_aggregated_runs_on_other_hardware_agree_where_the_kernels_are_those_that_ran() -> None:
    components.silicon()
    keys = {
        ("gpt-oss-120b", "H200", "vllm"),
        ("gpt-oss-120b", "H100", "vllm"),
        ("llama-3.1-70b", "H200", "trtllm"),
    }
    points = [p for p in silicon_sample.points() if (p.model, p.hardware, p.engine) in keys]

    found = silicon_sample.errors(points)

    # 6 %, 9 % and 6 %. No constant was fitted on this hardware; three choices of method were made knowing its
    # errors.
    assert set(found) == keys
    for pairs in found.values():
        assert len(pairs) > 40
        assert mape([ours for ours, _ in pairs]) <= 0.12


def test_a_sweep_of_all_layouts_on_full_grids_takes_seconds() -> None:
    components.silicon()
    arch, hardware = reference.architecture("gpt-oss-120b"), reference.hardware("GB200")
    silicon = Silicon(arch, hardware, reference.engine("trtllm"))
    bench = RoleBench(hardware, candidates(arch, hardware), silicon)
    began = time.perf_counter()

    work = plan({Role.PREFILL: bench, Role.DECODE: bench}, Scope(arch.max_context_tokens))
    answers = [
        silicon.measure(grid.point(tokens, batch))
        for task in work.tasks
        for grid in task.grids
        for tokens in grid.tokens
        for batch in grid.batches
    ]

    # 15 s on two busy cores.
    assert time.perf_counter() - began < 100
    assert len(answers) == work.points > 10_000
    assert all(isinstance(answer, Measurement) for answer in answers)
