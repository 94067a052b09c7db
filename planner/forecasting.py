"""Keep a forecast of every class and signal: refit on a schedule, read a path on every tick."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.forecast.base import NotYet
from models.forecast.events import silenced_s
from models.forecast.signal import Path, SignalFit, fit_signal, heard, path
from models.observation import Observation
from models.plan.drift import DRIFT_MINUTES
from models.plan.reactive import SURGE_MINUTES
from models.policy import ForecastPolicy
from models.prediction import PAST_LEVELS, Forecast, SignalForecast
from models.series import Floats, Series
from models.units import show_duration
from models.values import Signal
from planner.fitting import Due, Fitter, Fitting, InlineFitter, Subject
from planner.history import KNOWN_SHARE, MINUTE_S, SPAN_S, History

# A young history teaches something new every few minutes, and its fits are cheap.
YOUNG_S = 3 * 3600.0
YOUNG_REFIT_S = 600.0
# Models read at most the last hour; the rest is room for a feed that is late.
RECENT_S = 2 * 3600.0
# Demand older than this is no longer recent: the path is shown, and not to be trusted.
STALE_S = 900.0
FORGOTTEN_S = 86_400.0
# A fit that is older than it should be by more than this is no longer believed: a quarter of a day is how far
# a season reaches past its fit.
OLD_FIT_S = 21_600.0
# Bands of the last value before the first fit are learned from this much.
INTERIM_S = 86_400.0
# The demand of the last day is summed up by quarters of an hour, so that it is the same for all ticks of one.
DAY_S = 86_400.0
QUARTER_S = 900.0
# Minutes whose median is one reading of the recent peak: one wild minute among them does not count as need.
PEAK_MINUTES = 3


@dataclass(frozen=True, slots=True)
class _Read:
    """Hold the path of one signal, and the minutes and the fit that it was read from."""

    origin: tuple[float, float, Due | None, str | None]
    said: SignalForecast | str


class Forecasting:
    """Forecast the demand of the named classes.

    Fits are due at multiples of the refit interval since the epoch and see only what came before, so that a
    process that starts later and is seeded with the same history says the same. Who makes them is the
    fitter's affair: until it has, the fit before answers, and before the first one the last value does.
    """

    def __init__(
        self,
        policy: ForecastPolicy,
        classes: Sequence[str],
        hold_s: float,
        span_s: float = SPAN_S,
        fitter: Fitter | None = None,
        deployment: str = "",
    ) -> None:
        """Begin without history; `hold_s` is the time over which the recent peak is taken.

        Without a `fitter` each fit is made when it is asked for.
        """
        self._policy = policy
        self._classes = tuple(classes)
        self._hold_s = hold_s
        self._history = History(span_s)
        self._fitter = fitter or InlineFitter()
        self._deployment = deployment
        self._seeded = 0
        self._interim: dict[Subject, SignalFit | NotYet] = {}
        self._paths: dict[Subject, _Read] = {}
        self._days: dict[Subject, tuple[tuple[float, int], tuple[float, ...]]] = {}
        self._offsets_s = _grid(policy)

    @property
    def history(self) -> History:
        """What was seen so far."""
        return self._history

    def seed(self, past: Mapping[str, Mapping[Signal, Series]]) -> None:
        """Take in what a HistorySource remembers from before; what was absorbed since stays."""
        self._history.seed(past)
        self._seeded += 1
        self._paths.clear()

    def inherit(self, before: "Forecasting", names: Collection[str]) -> None:
        """Go on with the demand of the named classes that another remembers; it must not be used any more.

        Where fits are made otherwise from now on, they are due anew.
        """
        self._history = before._history
        self._history.keep(names)
        self._seeded = before._seeded + (before._policy != self._policy)

    def reach(self, ahead_s: float, back_s: float) -> None:
        """Extend paths to at least `ahead_s`, and take the recent peak over `back_s`.

        Fits judge the further horizons from the next one on; until then bands grow with the square root.
        """
        if ahead_s <= self._policy.reach_s and back_s == self._hold_s:
            return
        self._policy = replace(self._policy, reach_s=max(ahead_s, self._policy.reach_s))
        self._hold_s, self._offsets_s = back_s, _grid(self._policy)
        self._paths.clear()

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
        subject = Subject(self._deployment, name, signal)
        due = Due(self._due_s(minute_s, span_s[0]), self._seeded)
        made = self._fitter.fit(subject, due, lambda: self._history.series(name, signal), self._policy)
        # Models read whole minutes: until the next one is known the path stays as it is.
        origin = (minute_s, span_s[1], made.due, made.trouble)
        kept = self._paths.get(subject)
        if kept is None or kept.origin != origin:
            kept = self._paths[subject] = _Read(origin, self._path(subject, made, due, minute_s, span_s[1]))
        return kept.said

    def _due_s(self, minute_s: float, first_s: float) -> float:
        """Return when the latest fit was due; before the first one is, it is due now."""
        young = minute_s - first_s < YOUNG_S
        refit_s = min(self._policy.refit_s, YOUNG_REFIT_S) if young else self._policy.refit_s
        due_s = MINUTE_S * math.floor(math.floor(minute_s / refit_s) * refit_s / MINUTE_S)
        return minute_s if due_s <= first_s else due_s

    def _path(
        self, subject: Subject, made: Fitting, due: Due, minute_s: float, last_s: float
    ) -> SignalForecast | str:
        if made.fit is None or made.due is None:
            fit, fallback = self._last_value(subject, due), "the first fit is being made"
        else:
            fit, fallback = made.fit, None
            age_s = due.at_s - made.due.at_s
            if age_s > OLD_FIT_S:
                fallback = f"the latest fit is {show_duration(age_s)} older than it should be"
        if isinstance(fit, NotYet):
            return fit.reason
        said = self._read(subject, fit, minute_s, last_s)
        if isinstance(said, str):
            return said
        return replace(
            said,
            fallback=said.fallback if fallback is None else "; ".join(filter(None, (fallback, made.trouble))),
            fitted_at_s=None if made.due is None else made.due.at_s,
            trouble=made.trouble,
        )

    def _last_value(self, subject: Subject, due: Due) -> SignalFit | NotYet:
        """Return a fit that takes no time, for as long as there is no other."""
        if subject not in self._interim:
            recent = self._history.series(subject.request_class, subject.signal, due.at_s - INTERIM_S)
            self._interim[subject] = fit_signal(recent, due.at_s, replace(self._policy, enabled=False))
        return self._interim[subject]

    def _read(self, subject: Subject, fit: SignalFit, minute_s: float, last_s: float) -> SignalForecast | str:
        name, signal = subject.request_class, subject.signal
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
        peak = recent_peak(heard(fit, recent), minute_s - self._hold_s, minute_s)
        return replace(
            self._worded(said, fit, fallback, peak),
            latest=last_minutes(recent, minute_s),
            past_day=self._past_day(subject, minute_s),
        )

    def _past_day(self, subject: Subject, minute_s: float) -> tuple[float, ...]:
        """Return quantiles of the day before the latest quarter of an hour; empty when half is unknown."""
        until_s = QUARTER_S * math.floor(minute_s / QUARTER_S)
        kept = self._days.get(subject)
        if kept is None or kept[0] != (until_s, self._seeded):
            minutes = self._history.series(subject.request_class, subject.signal, until_s - DAY_S)
            quarters = minutes.window(until_s - DAY_S, until_s).resample(QUARTER_S, KNOWN_SHARE)
            known = quarters.known_values
            enough = known.size * QUARTER_S >= KNOWN_SHARE * DAY_S
            values = np.quantile(known, PAST_LEVELS).tolist() if enough else ()
            kept = self._days[subject] = ((until_s, self._seeded), tuple(values))
        return kept[1]

    def _worded(self, said: Path, fit: SignalFit, fallback: str | None, peak: float) -> SignalForecast:
        return SignalForecast(
            levels=self._policy.levels,
            offsets_s=tuple(self._offsets_s.tolist()),
            paths=rounded(said.quantiles),
            model=said.model,
            why=fit.why,
            recent_peak=peak,
            fallback=fallback,
            coverage=fit.coverage,
        )


def rounded(quantiles: Floats) -> tuple[tuple[float, ...], ...]:
    """Return paths to five significant digits: a thousandth of what they are accurate to.

    They are the bulk of a Record, and a digit that says nothing does not compress.
    """
    return tuple(tuple(float(f"{value:.5g}") for value in path) for path in quantiles.tolist())


def _grid(policy: ForecastPolicy) -> Floats:
    """Return the offsets of a path, in seconds."""
    steps = max(math.floor(policy.reach_s / policy.grid_s + 1e-9), 1)
    return policy.grid_s * np.arange(1, steps + 1, dtype=np.float64)


def last_minutes(recent: Series, until_s: float) -> tuple[float, ...]:
    """Return the last DRIFT_MINUTES before `until_s`, or SURGE_MINUTES, where all of them are known."""
    for minutes in (DRIFT_MINUTES, SURGE_MINUTES):
        known = recent.window(until_s - minutes * MINUTE_S, until_s).known_values
        if known.size == minutes:
            return tuple(known.tolist())
    return ()


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
