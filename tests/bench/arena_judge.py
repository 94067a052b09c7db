"""Hold the contest's criteria against outcomes: each says its figure, its limit, and whether it is met."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.arena_runs import Outcome
from tests.bench.arena_scenarios import TARGET, Kind

MOST_TO_ORACLE, MOST_TO_HPA, MOST_TO_PEAK, MOST_TO_MEAN = 1.15, 0.90, 0.75, 1.15


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold one scenario at one start-up time: the outcomes of each contestant, one per seed, in one order."""

    kind: Kind
    startup_s: float
    interval_s: float
    recover_s: float
    headgate: Sequence[Outcome]
    hpa: Sequence[Outcome]
    oracle: Sequence[Outcome]
    peak: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class Criterion:
    """Hold one demand on a cell; `seeds` counts those that meet it by themselves."""

    name: str
    met: bool
    seeds: tuple[int, int]
    said: str

    def __str__(self) -> str:
        """Say whether it is met, by how much, and by how many seeds."""
        of = f" ({self.seeds[0]} of {self.seeds[1]} seeds)" if self.seeds[1] > 1 else ""
        return f"{'met' if self.met else 'NOT MET'}: {self.said}{of}"


def judge(cell: Cell) -> list[Criterion]:
    """Return the criteria of the cell's kind, on means over the seeds."""
    if cell.kind is Kind.DAY:
        return [
            _criterion("attainment", cell, _kept, "{0:.2%}, at least {1:.2%}"),
            _criterion("oracle", cell, _to_oracle, "{0:.3f} x its GPU-hours, at most {1:.2f}"),
            _criterion("best HPA", cell, _to_hpa, "{0:.3f} x its GPU-hours, at most {1:.2f}"),
            _criterion("static peak", cell, _to_peak, "{0:.3f} x its GPU-hours, at most {1:.2f}"),
        ]
    return [
        _criterion("attainment", cell, _above_hpa, "{0:.2%}, at least best HPA's {1:.2%}"),
        _criterion("best HPA", cell, _no_more_than_hpa, "{0:.1f} GPU-hours, at most {1:.1f}"),
        _regained(cell),
    ]


# Of some seeds: the figure, its limit, and 1 where it must not exceed that, -1 where not fall below.
Measure = Callable[[Cell, Sequence[int]], tuple[float, float, int]]


def _criterion(name: str, cell: Cell, measure: Measure, said: str) -> Criterion:
    everyone = range(len(cell.headgate))

    def meets(seeds: Sequence[int]) -> bool:
        value, limit, sign = measure(cell, seeds)
        return sign * value <= sign * limit

    met = sum(meets([i]) for i in everyone)
    value, limit, _ = measure(cell, everyone)
    return Criterion(name, meets(everyone), (met, len(everyone)), said.format(value, limit))


def _kept(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    return attainment(cell.headgate, seeds), TARGET, -1


def _to_oracle(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    return hours(cell.headgate, seeds) / hours(cell.oracle, seeds), MOST_TO_ORACLE, 1


def _to_hpa(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    return hours(cell.headgate, seeds) / hours(cell.hpa, seeds), MOST_TO_HPA, 1


def _to_peak(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    steady = sum(mean_to_peak(cell.peak[i]) for i in seeds) / len(seeds)
    ratio = hours(cell.headgate, seeds) / hours(cell.peak, seeds)
    return ratio, max(MOST_TO_PEAK, MOST_TO_MEAN * steady), 1


def _above_hpa(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    return attainment(cell.headgate, seeds), attainment(cell.hpa, seeds), -1


def _no_more_than_hpa(cell: Cell, seeds: Sequence[int]) -> tuple[float, float, int]:
    return hours(cell.headgate, seeds), hours(cell.hpa, seeds), 1


def _regained(cell: Cell) -> Criterion:
    """Ask for the slowest seed: a mean would hide the one that took long."""
    limit_s = cell.startup_s + 2 * cell.interval_s + cell.recover_s
    seen = [o.regained_s for o in cell.headgate]
    met = [s is not None and s <= limit_s for s in seen]
    known = [s for s in seen if s is not None]
    worst = f"{max(known):.0f} s at worst" if len(known) == len(seen) else "not within half an hour"
    said = f"{worst}, at most {limit_s:.0f} s"
    return Criterion("promise regained", all(met), (sum(met), len(met)), said)


def mean_to_peak(peak: Outcome) -> float:
    """Return the mean work over the peak's, of both roles by the GPUs that static peak holds of each."""
    return sum(h * peak.mean_to_peak[role] for role, h in peak.by_role.items()) / peak.gpu_hours


def attainment(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> float:
    """Return the mean over some seeds."""
    return sum(outcomes[i].attainment for i in seeds) / len(seeds)


def hours(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> float:
    """Return the mean GPU-hours over some seeds."""
    return sum(outcomes[i].gpu_hours for i in seeds) / len(seeds)


def line(outcomes: Sequence[Outcome], bounds: Mapping[str, Sequence[Outcome]]) -> str:
    """Say what one contestant did, and its GPU-hours beside those of others."""
    seeds = range(len(outcomes))
    mine = hours(outcomes, seeds)
    ratios = ", ".join(f"{mine / hours(other, seeds):.3f} x {name}" for name, other in bounds.items())
    low = min(o.attainment for o in outcomes)
    worst = f" (worst {low:.2%})" if len(outcomes) > 1 else ""
    by_role = ", ".join(
        f"{role} {sum(o.by_role[role] for o in outcomes) / len(outcomes):.1f}" for role in outcomes[0].by_role
    )
    return f"{attainment(outcomes, seeds):7.2%}{worst}, {mine:6.1f} GPU-hours ({by_role}); {ratios}"
