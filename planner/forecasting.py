"""Keep a forecast of every class and signal: refit on a schedule, read a path on every tick."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.forecast.base import NotYet
from models.forecast.events import silenced_s
from models.forecast.signal import Path, SignalFit, fit_signal, path
from models.forecast.staged import Memory
from models.observation import Observation
from models.policy import ForecastPolicy
from models.prediction import Forecast, SignalForecast
from models.series import Floats, Series
from models.units import show_duration
from models.values import Signal
from planner.history import MINUTE_S, SPAN_S, History

# A young history teaches something new every few minutes, and its fits are cheap.
YOUNG_S = 3 * 3600.0
YOUNG_REFIT_S = 600.0
# Models read at most the last hour; the rest is room for a feed that is late.
RECENT_S = 2 * 3600.0
# Demand older than this is no longer recent: the path is shown, and not to be trusted.
STALE_S = 900.0
FORGOTTEN_S = 86_400.0
# Minutes whose median is one reading of the recent peak: one wild minute among them does not count as need.
PEAK_MINUTES = 3


@dataclass(slots=True)
class _Kept:
    """Hold the latest fit of one signal, and the path last read from it."""

    fit: SignalFit | NotYet
    fitted_at_s: float
    read_at: tuple[float, int] | None = None
    read: SignalForecast | str = ""


class Forecasting:
    """Forecast the demand of the named classes.

    Fits happen at multiples of the refit interval since the epoch and see only what came before, so that
    a process that starts later and is seeded with the same history says the same.
    """

    def __init__(
        self, policy: ForecastPolicy, classes: Sequence[str], hold_s: float, span_s: float = SPAN_S
    ) -> None:
        """Begin without history; `hold_s` is the time over which the recent peak is taken."""
        self._policy = policy
        self._classes = tuple(classes)
        self._hold_s = hold_s
        self._history = History(span_s)
        self._kept: dict[tuple[str, Signal], _Kept] = {}
        self._memory: dict[tuple[str, Signal], Memory] = {}
        steps = max(math.floor(policy.reach_s / policy.grid_s + 1e-9), 1)
        self._offsets_s = policy.grid_s * np.arange(1, steps + 1, dtype=np.float64)

    @property
    def history(self) -> History:
        """What was seen so far."""
        return self._history

    def seed(self, past: Mapping[str, Mapping[Signal, Series]]) -> None:
        """Take in what a HistorySource remembers from before; what was absorbed since stays."""
        self._history.seed(past)
        self._kept.clear()

    def absorb(self, observation: Observation) -> None:
        """Remember the demand of one observation; a gap stays a gap."""
        self._history.absorb(observation)

    def forecast(self, now_s: float) -> Forecast:
        """Return quantile paths from the minute nearest to `now_s`, with reasons for what is missing."""
        minute_s = MINUTE_S * math.floor(now_s / MINUTE_S + 0.5)
        signals: dict[str, dict[Signal, SignalForecast]] = {}
        reasons = []
        for name in self._classes:
            for signal in Signal:
                said = self._signal(name, signal, minute_s)
                if isinstance(said, SignalForecast):
                    signals.setdefault(name, {})[signal] = said
                else:
                    reasons.append(f"{name} {signal}: {said}")
        return Forecast(now_s, signals, tuple(reasons))

    def _signal(self, name: str, signal: Signal, minute_s: float) -> SignalForecast | str:
        span_s = self._history.known_span_s(name, signal)
        if span_s is None:
            return "no demand was measured yet"
        kept = self._fitted(name, signal, minute_s, span_s[0])
        if isinstance(kept.fit, NotYet):
            return kept.fit.reason
        asked = (minute_s, self._history.revision(name, signal))
        if kept.read_at != asked:
            kept.read_at, kept.read = asked, self._read(name, signal, kept.fit, minute_s, span_s[1])
        return kept.read

    def _fitted(self, name: str, signal: Signal, minute_s: float, first_s: float) -> _Kept:
        """Return the fit that is due; before the first one is, a fit to the minutes at hand."""
        young = minute_s - first_s < YOUNG_S
        refit_s = min(self._policy.refit_s, YOUNG_REFIT_S) if young else self._policy.refit_s
        due_s = MINUTE_S * math.floor(math.floor(minute_s / refit_s) * refit_s / MINUTE_S)
        if due_s <= first_s:
            due_s = minute_s
        kept = self._kept.get((name, signal))
        if kept is None or kept.fitted_at_s != due_s:
            memory = self._memory.setdefault((name, signal), Memory())
            memory.turn()
            fit = fit_signal(self._history.series(name, signal), due_s, self._policy, memory)
            kept = self._kept[name, signal] = _Kept(fit, due_s)
        return kept

    def _read(
        self, name: str, signal: Signal, fit: SignalFit, minute_s: float, last_s: float
    ) -> SignalForecast | str:
        origin_s = min(minute_s, last_s)
        late_s = minute_s - origin_s
        if late_s > FORGOTTEN_S:
            return f"no demand was measured for {show_duration(late_s)}"
        back_s = max(RECENT_S, self._hold_s) + silenced_s(self._policy.calendar.events, origin_s)
        recent = self._history.series(name, signal, origin_s - back_s)
        horizons_s = np.ceil((self._offsets_s + late_s) / MINUTE_S - 1e-9) * MINUTE_S
        said = path(fit, recent, origin_s, horizons_s)
        if said is None:
            return f"no demand was measured in the minutes before {show_duration(late_s)} ago"
        fallback = said.fallback
        if late_s > STALE_S:
            fallback = f"no demand was measured for {show_duration(late_s)}"
        return self._worded(said, fit, fallback, recent_peak(recent, minute_s - self._hold_s, minute_s))

    def _worded(self, said: Path, fit: SignalFit, fallback: str | None, peak: float) -> SignalForecast:
        return SignalForecast(
            levels=self._policy.levels,
            offsets_s=tuple(self._offsets_s.tolist()),
            paths=tuple(map(tuple, said.quantiles.tolist())),
            model=said.model,
            why=fit.why,
            recent_peak=peak,
            fallback=fallback,
            coverage=fit.coverage,
        )


def recent_peak(recent: Series, from_s: float, until_s: float) -> float:
    """Return the highest demand held for two of three known minutes within [from_s, until_s).

    One noisy minute is not a need: over half an hour of Poisson arrivals at 20 requests/s the highest single
    minute stands 6 % above the rate, the highest median of three 3 %. Of one or two known minutes the mean
    counts; without any the latest known before them does.
    """
    values: Floats = recent.window(from_s, until_s).known_values
    if values.size == 0:
        latest = recent.window(-math.inf, until_s).last_known()
        return latest[1] if latest else 0.0
    if values.size < PEAK_MINUTES:
        return float(values.mean())
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, PEAK_MINUTES), axis=-1)
    return float(medians.max())
