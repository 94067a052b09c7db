"""Say what a track record must show before a deployment may be let act."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Criteria:
    """Bound each figure of a track record; all of them must hold.

    `least_days` of decisions must be recorded, with the demand known for at least `known_ratio` of the time.
    The share of actuals at or under the operating quantile lies from `least_coverage` to `most_coverage`. The
    fleet is under its need for at most `under_ratio` of the time, and takes at most `over_ratio` more
    GPU-hours than an oracle with the same start-up and bounds.
    """

    least_days: float = 7.0
    known_ratio: float = 0.95
    least_coverage: float = 0.8
    most_coverage: float = 0.97
    under_ratio: float = 0.05
    over_ratio: float = 0.35
