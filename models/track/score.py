"""Score a track: promises kept, GPU-hours over and under, regret against an oracle, coverage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.track.foresight import ahead, filled
from models.track.hindsight import RUNGS
from models.track.track import Floats, Path, Track

DAY_S, HOUR_S = 86_400.0, 3600.0
# Under bounds that bind nobody keeps the promise, and shares that differ by less are as good as another.
SAME_KEPT = 0.01
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class PathScore:
    """Score one fleet over a span.

    `attainment` is per class, over all its requests, by the model; `missed_requests` counts those that broke
    a promise. `over_gpu_h` and `under_gpu_h` are the GPU-hours above and below the oracle's. `under_ratio` is
    the share of the time in which a class kept less than the oracle had to give it. `regret_ratio` is what
    the fleet took more than the oracle, as a share of that; below 0 where it took less, and kept less.
    """

    gpu_h: float
    attainment: Mapping[str, float]
    missed_requests: float
    over_gpu_h: float
    under_gpu_h: float
    under_ratio: float
    regret_ratio: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """Score one span of a deployment's time.

    `days` is how much of it is recorded, `known_ratio` the share of that whose demand is known. `judged` is
    the fleet that Headgate answers for, `ran` the one that was there. `oracle` knows the future and starts as
    slowly: it keeps the promise over the span, `rung` times as loosely at single moments as over all.
    `need_gpu_h` would have kept the promise at every moment, without any start-up.
    """

    from_s: float
    until_s: float
    days: float
    known_ratio: float
    requests: float
    judged: PathScore
    ran: PathScore
    oracle: PathScore
    need_gpu_h: float
    rung: float
    coverage: float | None
    forecasts: int
    calibration: Mapping[str, float]


def score(track: Track, days: float) -> Score | None:
    """Score the last `days` of a track, those before its first record aside; `None`: no demand is known."""
    steps = min(math.ceil(days * DAY_S / track.step_s - _EPSILON), len(track.known))
    span = slice(len(track.known) - steps, len(track.known))
    known = track.known[span]
    if not known.any():
        return None
    oracle, rung = _oracle(track, span)
    aims = _aims(track, RUNGS[rung])
    recorded = int(track.recorded[span].sum())
    widths = np.array([track.gpus[role] for role in track.roles])
    foreseen = int(track.forecasts[span].sum())
    rate = track.rate_rps[span][known]
    return Score(
        from_s=float(track.ends_s[span][0] - track.step_s),
        until_s=float(track.ends_s[-1]),
        days=recorded * track.step_s / DAY_S,
        known_ratio=float(known.sum() / max(recorded, 1)),
        requests=float(rate.sum()) * track.step_s,
        judged=_scored(track, track.subject, span, oracle, aims),
        ran=_scored(track, track.ran, span, oracle, aims),
        oracle=_scored(track, oracle, span, oracle, aims),
        need_gpu_h=float((track.need[0, span][known] @ widths).sum()) * track.step_s / HOUR_S,
        rung=RUNGS[rung],
        coverage=float(track.covered[span].sum() / foreseen) if foreseen else None,
        forecasts=foreseen,
        calibration=_calibration(track, span),
    )


def by_day(track: Track) -> list[Score]:
    """Score every day, UTC, of which some demand is known."""
    days = np.floor((track.ends_s - track.step_s / 2) / DAY_S)
    found = []
    for day in np.unique(days[track.known]):
        mine = np.flatnonzero(days == day)
        one = score(cut(track, slice(int(mine[0]), int(mine[-1]) + 1)), 1.0)
        if one is not None:
            found.append(one)
    return found


def cut(track: Track, span: slice) -> Track:
    """Return a part of a track."""

    def path(whole: Path) -> Path:
        return Path(whole.ready[span], whole.gpus[span], whole.kept[span])

    return replace(
        track,
        begin_s=float(track.ends_s[span][0]),
        recorded=track.recorded[span],
        known=track.known[span],
        rate_rps=track.rate_rps[span],
        ran=path(track.ran),
        advised=None if track.advised is None else path(track.advised),
        need=track.need[:, span],
        need_kept=track.need_kept[:, span],
        forecasts=track.forecasts[span],
        covered=track.covered[span],
        under=track.under[span],
    )


def oracle_path(track: Track, rung: int) -> Path:
    """Lay the path that orders a start-up ahead of each need and keeps what would soon be ordered again.

    What is unknown stays as it was.
    """
    need = _carried(track.need[rung], track.known)
    ordered = need.copy()
    for i, role in enumerate(track.roles):
        lead = math.ceil(track.startup_s[role] / track.step_s - _EPSILON)
        worth = max(math.ceil(track.release_s[role] / track.step_s - _EPSILON), 1)
        ordered[:, i] = ahead(filled(need[:, i], worth), lead + 1)
    # What is ordered ahead must fit into the bounds; elsewhere only what is needed right then is there.
    fits = np.ones(len(ordered), dtype=np.bool_)
    for limit in track.limits:
        widths = np.array([track.gpus[role] if role in limit.roles else 0 for role in track.roles])
        fits &= ordered @ widths <= limit.gpus
    ordered = np.where(fits[:, None], ordered, need)
    gpus = ordered @ np.array([track.gpus[role] for role in track.roles])
    return Path(need, gpus.astype(np.float64), track.need_kept[rung])


def _oracle(track: Track, span: slice) -> tuple[Path, int]:
    """Return the oracle that spends the promise's allowance over the span, and its rung."""
    known, rate = track.known[span], track.rate_rps[span]
    chosen = 0
    for rung in range(1, len(RUNGS)):
        kept = _kept(track, track.need_kept[rung][span][known], rate[known])
        if any(kept[name] < track.targets[name] - _EPSILON for name in kept):
            break
        chosen = rung
    return oracle_path(track, chosen), chosen


def _aims(track: Track, rung: float) -> Floats:
    """Return the share per class that the oracle had to keep at every moment."""
    return np.array([1.0 - rung * (1.0 - track.targets[name]) for name in track.classes])


def _scored(track: Track, path: Path, span: slice, oracle: Path, aims: Floats) -> PathScore:
    known = track.known[span]
    rate, kept = track.rate_rps[span][known], path.kept[span][known]
    gpus, best = path.gpus[span][known], oracle.gpus[span][known]
    hours = track.step_s / HOUR_S
    # What the oracle itself could not give, within the same bounds, is no fault of anybody's.
    least = np.minimum(aims, oracle.kept[span][known] - SAME_KEPT)
    short = ((kept < least - _EPSILON) & (rate > 0)).any(axis=1)
    return PathScore(
        gpu_h=float(gpus.sum()) * hours,
        attainment=_kept(track, kept, rate),
        missed_requests=float((rate * (1.0 - kept)).sum()) * track.step_s,
        over_gpu_h=float(np.maximum(gpus - best, 0.0).sum()) * hours,
        under_gpu_h=float(np.maximum(best - gpus, 0.0).sum()) * hours,
        under_ratio=float(short.mean()),
        regret_ratio=float(gpus.sum() / best.sum() - 1.0) if best.sum() > 0 else None,
    )


def _kept(track: Track, kept: Floats, rate: Floats) -> dict[str, float]:
    """Return the share of each class that comes and keeps its promise."""
    total, met = rate.sum(axis=0), (rate * kept).sum(axis=0)
    return {name: float(met[i] / total[i]) for i, name in enumerate(track.classes) if total[i] > 0}


def _calibration(track: Track, span: slice) -> dict[str, float]:
    """Return the share of actuals at or under each quantile that had been forecast."""
    foreseen = int(track.forecasts[span].sum())
    if not foreseen:
        return {}
    under = track.under[span].sum(axis=0) / foreseen
    return {f"{level:g}": float(share) for level, share in zip(track.levels, under, strict=True)}


def _carried(values: NDArray[np.intp], known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return rows with those that are not known as the last known one before (at first: the first known)."""
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return values[np.where(last < 0, int(known.argmax()), last)]
