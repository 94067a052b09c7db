"""Set published benchmarks beside what profile and capacity model say; no measured latency goes in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from statistics import fmean

from models.engine import EngineConstants
from models.units import show_count, show_duration
from models.values import Role
from profiler.measure.roofline.estimator import Roofline
from profiler.order import Order
from profiler.planning import RoleBench
from profiler.wiring import bench
from tests.bench.calibrate import TARGETS, Target, fit
from tests.bench.capacity_plans import plans
from tests.bench.closed_runs import (
    COLUMNS,
    ClosedRun,
    Figures,
    predict_run,
    profiles,
    read_closed,
    saturated,
)
from tests.bench.measured import read_runs
from tests.components import fact

# A run is saturated when half of its requests wait for more than this many times what a first token takes.
SATURATED = 20.0
LOADED = 5.0
_LABELS = dict(zip(COLUMNS, ("TPOT", "p99", "TTFT p50", "mean", "p99", "tok/s/GPU"), strict=True))


def run() -> dict[str, str]:
    """Predict every published run with each backend that is installed, then the capacity plans."""
    figures: dict[str, str] = {}
    for target in TARGETS:
        runs = read_closed(fact("gb200_measured.csv"), target.model)
        figures |= report(f"{target.model} roofline", runs, benches(target, "roofline"))
        figures |= unseen(target, runs)
        if find_spec("aiconfigurator_core"):
            figures |= report(f"{target.model} silicon", runs, benches(target, "silicon"))
    return figures | plans()


def report(label: str, runs: Sequence[ClosedRun], benches: Mapping[Role, RoleBench]) -> dict[str, str]:
    """Predict the runs from surfaces of the given backends: a line a run, and the errors over all."""
    surfaces, runs = profiles(benches, runs), sorted(runs, key=lambda run: (run.topology, run.users))
    said = {each.name: predict_run(each, surfaces) for each in runs}
    figures = {f"{label}: {each.name}": _line(each, said[each.name]) for each in runs}
    predicted = {name: found for name, found in said.items() if found is not None}
    kept = [each for each in runs if each.name in predicted]
    return figures | _summary(label, kept, predicted)


def unseen(target: Target, runs: Sequence[ClosedRun]) -> dict[str, str]:
    """Predict each topology's runs with constants fitted on the runs of all others."""
    steps = read_runs(fact("gb200_measured.csv"), target.model)
    figures: dict[str, str] = {}
    found: dict[str, Figures] = {}
    for topology in dict.fromkeys(each.topology for each in runs):
        left = [each for each in runs if each.topology == topology]
        rest = [step for step, each in zip(steps, runs, strict=True) if each.topology != topology]
        surfaces = profiles(_with(benches(target, "roofline"), fit(target, rest)), left)
        said = {each.name: predict_run(each, surfaces) for each in left}
        kept = {name: figure for name, figure in said.items() if figure is not None}
        figures[f"{target.model} roofline without {topology}"] = _mape(left, kept)
        found |= kept
    return figures | {
        f"{target.model} roofline, topology left out: MAPE of {len(found)} runs": _mape(runs, found)
    }


def _with(benches: Mapping[Role, RoleBench], constants: EngineConstants) -> dict[Role, RoleBench]:
    """Return the estimator's benches with other constants."""
    changed = {}
    for role, each in benches.items():
        assert isinstance(each.backend, Roofline)
        engine = replace(each.backend.engine, constants=constants)
        changed[role] = replace(each, backend=replace(each.backend, engine=engine))
    return changed


def benches(target: Target, backend: str) -> Mapping[Role, RoleBench]:
    order = Order(target.model, "GB200", target.engine, backend)
    return {role: each for role, each in bench(order).roles.items() if role is not Role.AGGREGATED}


def _summary(label: str, runs: Sequence[ClosedRun], said: Mapping[str, Figures]) -> dict[str, str]:
    """Return the mean absolute error of each column, and how well saturation is told."""
    errors = {each.name: said[each.name].errors(each.measured) for each in runs}
    measured = {each.name: each.measured.ttft_p50_s for each in runs}
    predicted = {each.name: said[each.name].ttft_p50_s for each in runs}
    loaded = saturated(runs, measured, LOADED)
    calm = [abs(errors[name]["ttft_p50_s"]) for name in errors if name not in loaded]
    return {
        f"{label}: MAPE of {len(runs)} runs": _mape(runs, said),
        f"{label}: median TTFT under {LOADED:g} x one user's": (
            f"{sum(e <= 0.25 for e in calm)} of {len(calm)} within 25 %, MAPE {fmean(calm):.1%}"
        ),
        **{
            f"{label}: median TTFT above {times:g} x": _told(
                saturated(runs, measured, times), saturated(runs, predicted, times)
            )
            for times in (LOADED, SATURATED)
        },
    }


def _told(measured: set[str], expected: set[str]) -> str:
    missed = f", missed {'; '.join(sorted(measured - expected))}" if measured - expected else ""
    told, more = len(measured & expected), len(expected - measured)
    return f"{told} of {len(measured)} told, {more} more expected{missed}"


def _mape(runs: Sequence[ClosedRun], said: Mapping[str, Figures]) -> str:
    """Return the errors per column; of a run that stalled only TPOT and the median TTFT count."""
    shown = []
    for column in COLUMNS:
        steady = column in ("tpot_s", "tpot_p99_s", "ttft_p50_s")
        counted = [each for each in runs if each.name in said and (steady or not each.stalled)]
        errors = [abs(said[each.name].errors(each.measured)[column]) for each in counted]
        shown.append(f"{_LABELS[column]} {fmean(errors):.1%}" if errors else f"{_LABELS[column]} no run")
    return ", ".join(shown)


def _line(each: ClosedRun, said: Figures | None) -> str:
    if said is None:
        return "left out: a layout has no profile"
    parts = []
    for column, error in said.errors(each.measured).items():
        predicted, measured = (_show(column, getattr(f, column)) for f in (said, each.measured))
        parts.append(f"{_LABELS[column]} {predicted} for {measured} ({error:+.0%})")
    return ", ".join(parts) + ("; stalled while it warmed up" if each.stalled else "")


def _show(column: str, value: float) -> str:
    return show_count(value) if column == "tokens_per_s_per_gpu" else show_duration(value)
