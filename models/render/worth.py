"""Say what forecasting was worth: the same requests replayed with it, without it, and knowing the future."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.render.formats import number, percent, points, sentence, share
from models.simulation.scorecard import PolicyResult

# Below this a difference in GPU-hours is called none: one replica more or less for a few minutes of a day.
SAME_COST_RATIO = 0.01
# Below this a difference in attainment is called none: one request in 2,000.
SAME_ATTAINMENT = 0.0005


class Worth(StrEnum):
    """What a forecast did for a fleet."""

    BOUGHT = "bought"
    NOTHING = "nothing"
    TRADED = "traded"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Run:
    """Hold the attainment of the classes that were promised something, and the GPU-hours, of one replay."""

    attainment: float
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold what forecasting did, and the sentence that says it."""

    worth: Worth
    sentence: str


@dataclass(frozen=True, slots=True)
class _Change:
    """Hold a difference over paired runs, and the band within which it is called none."""

    mean: float
    band: float

    @property
    def sign(self) -> int:
        """1 for more, -1 for less, 0 within the band."""
        return 0 if abs(self.mean) <= self.band else 1 if self.mean > 0 else -1


def run_of(policy: PolicyResult, promised: Sequence[str]) -> Run:
    """Return one replay's attainment over the arrivals of the `promised` classes, of all for none."""
    scored = [c for c in policy.classes if c.name in promised and c.slo_attainment is not None]
    requests = sum(c.requests for c in scored)
    kept = sum((c.slo_attainment or 0.0) * c.requests for c in scored)
    return Run(kept / requests if requests else policy.slo_attainment or 0.0, policy.gpu_hours)


def worth(
    on: Sequence[Run], off: Sequence[Run], perfect: Sequence[Run] | None = None, target: float | None = None
) -> Finding:
    """Compare replays with and without forecasting, a pair per seed.

    A difference counts where its mean over the seeds exceeds the band: the farthest that a seed lies from
    the mean, at least SAME_COST_RATIO or SAME_ATTAINMENT. Where both kept the `target` in every run only
    GPU-hours count: attainment above it was not asked for.
    """
    gain, saved = _gain(on, off), _saved(on, off)
    kept = _kept(target, on, off)
    better = 0 if kept else gain.sign
    found = _judge(better, saved.sign)
    attained = f"{share(_mean_attainment(on))} attained (without: {share(_mean_attainment(off))})"
    bill = _bill(on, off)
    match found:
        case Worth.NOTHING:
            what = "nothing, the promise kept by both" if kept else "nothing"
            text = f"forecasting bought {what}: {attained} with {bill}"
        case Worth.BOUGHT | Worth.COST:
            what = _amounts(better, gain, saved, on, off, kept)
            text = f"forecasting {found} {what}: {attained} with {bill}"
        case _:
            more = "gained" if better > 0 else "gave up"
            took = "more" if saved.sign < 0 else "fewer"
            text = (
                f"forecasting {more} {points(gain.mean)} of attainment for {percent(saved.mean)} {took} "
                f"GPU-hours, a trade and no saving: {attained} with {bill}"
            )
    return Finding(found, " ".join((sentence(text), *_bound(off, perfect, target))))


def _judge(better: int, cheaper: int) -> Worth:
    if better == cheaper == 0:
        return Worth.NOTHING
    if better * cheaper < 0:
        return Worth.TRADED
    return Worth.BOUGHT if better + cheaper > 0 else Worth.COST


def _amounts(
    better: int, gain: _Change, saved: _Change, on: Sequence[Run], off: Sequence[Run], promised: bool
) -> str:
    """Say what was bought or lost: GPU-hours, points, or both."""
    hours = abs(_mean_hours(off) - _mean_hours(on))
    gpus = f"{number(hours)} GPU-hours ({percent(saved.mean)})"
    kept = f"{points(gain.mean)} of attainment"
    if better and saved.sign:
        return f"{kept} and {gpus}"
    if better:
        return f"{kept} at equal GPU-hours"
    return f"{gpus} with the promise kept by both" if promised else f"{gpus} at equal attainment"


def _bound(off: Sequence[Run], perfect: Sequence[Run] | None, target: float | None) -> list[str]:
    """Say what knowing the future would have bought, over reacting."""
    if not perfect:
        return []
    gain, saved = _gain(perfect, off), _saved(perfect, off)
    better = 0 if _kept(target, perfect, off) else gain.sign
    if _judge(better, saved.sign) is Worth.NOTHING:
        return ["There was nothing to buy: to know the future would have changed nothing either."]
    parts = []
    if better:
        parts.append(f"{points(gain.mean)} {'more' if better > 0 else 'less'} attainment")
    if saved.sign:
        parts.append(f"{percent(saved.mean)} {'fewer' if saved.sign > 0 else 'more'} GPU-hours")
    return [f"To know the future would have meant {' and '.join(parts)} than to react."]


def _kept(target: float | None, *runs: Sequence[Run]) -> bool:
    """Whether every run reached the target: more attainment is then worth nothing."""
    return target is not None and all(r.attainment >= target for each in runs for r in each)


def _gain(one: Sequence[Run], other: Sequence[Run]) -> _Change:
    return _change([a.attainment - b.attainment for a, b in zip(one, other, strict=True)], SAME_ATTAINMENT)


def _saved(one: Sequence[Run], other: Sequence[Run]) -> _Change:
    """Return the share of GPU-hours that the first saved, against the other."""
    ratios = [
        1 - a.gpu_hours / b.gpu_hours if b.gpu_hours > 0 else 0.0 for a, b in zip(one, other, strict=True)
    ]
    return _change(ratios, SAME_COST_RATIO)


def _change(differences: Sequence[float], least: float) -> _Change:
    values = np.array(differences)
    mean = float(values.mean())
    return _Change(mean, max(float(np.abs(values - mean).max()), least))


def _bill(on: Sequence[Run], off: Sequence[Run]) -> str:
    return f"{number(_mean_hours(on))} GPU-hours (without: {number(_mean_hours(off))})"


def _mean_hours(runs: Sequence[Run]) -> float:
    return float(np.mean([r.gpu_hours for r in runs]))


def _mean_attainment(runs: Sequence[Run]) -> float:
    return float(np.mean([r.attainment for r in runs]))
