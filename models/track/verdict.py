"""Say whether a track record is good enough to let a deployment act, and what is lacking."""

from dataclasses import dataclass

from models.track.criteria import Criteria
from models.track.score import SAME_KEPT, Score
from models.track.track import Track


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one criterion: what it asks for, what was found, and whether that suffices."""

    name: str
    asked: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """Say whether a deployment may be let act; `checks` are all criteria, in order of weight."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether all criteria hold."""
        return all(check.holds for check in self.checks)

    @property
    def lacking(self) -> tuple[Check, ...]:
        """The criteria that do not hold."""
        return tuple(check for check in self.checks if not check.holds)


def judge(track: Track, scored: Score, criteria: Criteria) -> Judgement:
    """Hold a score over the longest span against the criteria."""
    judged, oracle = scored.judged, scored.oracle
    checks = [
        Check(
            "history",
            f"at least {criteria.least_days:g} days",
            f"{scored.days:.1f} days",
            scored.days >= criteria.least_days - 1e-6,
        ),
        Check(
            "demand known",
            f"at least {criteria.known_ratio:.0%} of the time",
            f"{scored.known_ratio:.1%}",
            scored.known_ratio >= criteria.known_ratio,
        ),
    ]
    for name, kept in judged.attainment.items():
        # Where the bounds of the fleet let nobody keep the promise, no more is asked than they allow.
        least, best = track.targets[name], oracle.attainment.get(name, 1.0)
        least = least if best >= least - 1e-6 else best - SAME_KEPT
        checks.append(
            Check(f"promise of {name}", f"{_cut(least)} kept", f"{_cut(kept)} kept", kept >= least - 1e-6)
        )
    checks.append(
        Check(
            "time under need",
            f"at most {criteria.under_ratio:.1%}",
            f"{judged.under_ratio:.1%}",
            judged.under_ratio <= criteria.under_ratio,
        )
    )
    regret = judged.regret_ratio
    checks.append(
        Check(
            "GPU-hours over the oracle",
            f"at most {criteria.over_ratio:.0%} more",
            "not known" if regret is None else f"{regret:+.1%}",
            regret is not None and regret <= criteria.over_ratio,
        )
    )
    covered = scored.coverage
    checks.append(
        Check(
            f"coverage of p{track.operating_level * 100:g}",
            f"{criteria.least_coverage:.0%} to {criteria.most_coverage:.0%}",
            "not known" if covered is None else f"{covered:.1%}",
            covered is not None and criteria.least_coverage <= covered <= criteria.most_coverage,
        )
    )
    return Judgement(tuple(checks))


def _cut(ratio: float) -> str:
    """Write a share, cut and not rounded."""
    return f"{int(ratio * 1e4 + 1e-6) / 100:.2f} %"
