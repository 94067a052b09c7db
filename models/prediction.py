"""Say what is expected: per class and signal, quantiles of demand on a time grid."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.values import Signal

# Quantiles by which the demand of the last day is summed up.
PAST_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def median_level(levels: Sequence[float]) -> int:
    """Return the index of the level nearest to one half."""
    return min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))


@dataclass(frozen=True, slots=True)
class SignalForecast:
    """Hold the quantile paths of one signal.

    `paths[i][j]` is the `levels[i]` quantile at `offsets_s[j]` seconds after the forecast was issued;
    paths never cross. `recent_peak` is the highest demand measured over the hold time before it, `latest`
    that of the last minutes, the newest at the end; empty where not all of them are known.
    `model` and `why` name the choice, `fallback` says why the chosen model was set aside (`None`: it was
    not), `coverage` is the share of recent actuals at or under the operating quantile. The model has learned
    from what came before `fitted_at_s` (Unix seconds); `trouble` says why no newer one has (`None`: none is
    due). `past_day` holds the PAST_LEVELS quantiles of the quarter-hour means of the last day, empty where
    too little of it is known.
    """

    levels: tuple[float, ...]
    offsets_s: tuple[float, ...]
    paths: tuple[tuple[float, ...], ...]
    model: str
    why: str
    recent_peak: float
    fallback: str | None = None
    coverage: float | None = None
    fitted_at_s: float | None = None
    trouble: str | None = None
    latest: tuple[float, ...] = ()
    past_day: tuple[float, ...] = ()

    @property
    def bin_s(self) -> float:
        """Seconds over which each value of a path is an average: the step of its grid."""
        return self.offsets_s[0] if len(self.offsets_s) < 2 else self.offsets_s[1] - self.offsets_s[0]

    def lowest(self) -> float:
        """Return the lowest value of the lowest path."""
        return min(self.paths[0])

    def highest(self) -> float:
        """Return the highest value of the highest path, or of the recent past where that was more."""
        return max(*self.paths[-1], self.recent_peak)

    def peak(self, until_s: float) -> tuple[float, ...]:
        """Return, per level, the highest value from now on, the grid step that holds `until_s` included."""
        last = bisect_left(self.offsets_s, until_s - 1e-9) + 1
        return tuple(max(path[:last]) for path in self.paths)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Hold the forecasts of every class and signal, issued at `at_s`; empty when nothing can be said."""

    at_s: float
    signals: Mapping[str, Mapping[Signal, SignalForecast]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels of the paths; empty when nothing can be said."""
        return next((s.levels for c in self.signals.values() for s in c.values()), ())

    @property
    def trusted(self) -> bool:
        """Whether no signal fell back to its recent values."""
        return bool(self.signals) and all(
            s.fallback is None for c in self.signals.values() for s in c.values()
        )
