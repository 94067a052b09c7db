"""Fit one signal and read its quantile path: the models, their calibration and the choice among them."""

from dataclasses import dataclass, replace

import numpy as np

from models.calendar import Event, factors
from models.forecast.backtest import horizons, look_back, origin_step, origins, pinball, roll
from models.forecast.base import NotYet
from models.forecast.candidates import candidates
from models.forecast.conformal import PRIOR_SCORES, Calibration, calibrate
from models.forecast.events import foretold, last_plain, told, without
from models.forecast.outages import Habit, without_outages
from models.forecast.pool import Contender, Pool, pool
from models.forecast.selection import MIN_ORIGINS, Judged, choose
from models.forecast.staged import Memory
from models.policy import ForecastPolicy
from models.series import Floats, Series
from models.units import show_duration


@dataclass(frozen=True, slots=True)
class SignalFit:
    """Hold what was learned of one signal: the chosen model, the baseline, and the reasons.

    `fallback` says why what answers is not to be trusted: the baseline in the place of a better model, or one
    that covers too little.
    `coverage` is that of the model that answers. `events` are those declared, with their factors; models and
    bands are of demand without them. `habit` doubts zeros. `contenders` are all who competed, the baseline
    first.
    """

    chosen: Contender | Pool
    baseline: Contender
    why: str
    fallback: str | None
    coverage: float | None
    events: tuple[Event, ...] = ()
    contenders: tuple[Contender, ...] = ()
    habit: Habit | None = None

    def lean(self) -> "SignalFit":
        """Return what paths are read from, without what only backtests need."""
        return replace(self, chosen=self.chosen.lean(), baseline=self.baseline.lean(), contenders=())


@dataclass(frozen=True, slots=True)
class Path:
    """Hold quantiles, shape (levels, offsets), and the name of the model that gave them."""

    model: str
    quantiles: Floats
    fallback: str | None


def fit_signal(
    series: Series, until_s: float, policy: ForecastPolicy, memory: Memory | None = None
) -> SignalFit | NotYet:
    """Fit, backtest, calibrate and choose on what was measured before `until_s`.

    Steps may have any length; the same series gives the same fit, with a `memory` of slow fits or without.
    """
    measured = series.window(-np.inf, until_s)
    events = told(policy.calendar.events, measured)
    series, habit = without_outages(without(events, measured))
    foreseen = foretold(policy.calendar.events, measured)
    lived = series if foreseen == events else without_outages(without(foreseen, measured))[0]
    judged_s = horizons(policy.reach_s, series.step_s)
    every_s = origin_step(series.step_s)
    window = max(look_back(policy.calibration_s, every_s), MIN_ORIGINS)
    count = min(2 * window, _origins_at_hand(series, until_s, every_s))
    origins_s = origins(until_s, count, every_s, series.start_s % series.step_s)
    names, models, refused = [], [], []
    for candidate in candidates(policy, every_s, memory):
        fitted = candidate.fit(series)
        if isinstance(fitted, NotYet):
            refused.append(fitted.reason)
        else:
            names.append(candidate.name)
            models.append(fitted)
    if not models:
        return NotYet("; ".join(refused))
    tests = [roll(model, lived, origins_s, judged_s) for model in models]
    bands = calibrate(tests, policy.levels, policy.operating_level, window)
    contenders = [Contender(n, m, b) for n, m, b in zip(names, models, bands, strict=True)]
    actual = tests[0].actual[-window:]
    judged = [_judge(c, actual, policy.operating_level) for c in contenders]
    everyone: list[Contender | Pool] = [*contenders]
    last = None
    if len(contenders) > 1:
        everyone.append(pool(contenders, tests, policy.levels, policy.operating_level, window))
        judged.append(_judge(everyone[-1], actual, policy.operating_level))
        last = len(judged) - 1
    choice = choose(judged, origins_s[-window:], judged_s, policy.operating_level, last)
    young = _too_young(bands[0], every_s)
    answers = 0 if young else choice.index
    fallback = (choice.fallback or young) if policy.enabled else "forecasting is off"
    return SignalFit(
        chosen=everyone[answers],
        baseline=contenders[0],
        why="; ".join([_told(choice.why, everyone[answers]), *dict.fromkeys(refused)]),
        fallback=fallback,
        coverage=judged[answers].coverage,
        events=events,
        contenders=tuple(contenders),
        habit=habit,
    )


def heard(fit: SignalFit, recent: Series) -> Series:
    """Return what was measured lately, with gaps for outages that were recorded as zeros."""
    plain = without(fit.events, recent)
    return _unless_doubted(recent, plain, plain if fit.habit is None else fit.habit.without_outages(plain))


def scoreable(series: Series, events: tuple[Event, ...]) -> Series:
    """Return what forecasts can be held to: a series with gaps for outages that were recorded as zeros."""
    plain = without(told(events, series), series)
    return _unless_doubted(series, plain, without_outages(plain)[0])


def path(fit: SignalFit, recent: Series, origin_s: float, horizons_s: Floats) -> Path | None:
    """Return the quantiles of the steps that end at origin + horizon; `None` when nothing is known lately.

    `recent` needs the last hour before the origin. Where the chosen model cannot say, the baseline does.
    """
    measured, believed = recent, heard(fit, recent)
    recent = without(fit.events, believed)
    outage = _taken_for_outage(measured, believed)
    factor = factors(fit.events, origin_s + horizons_s - recent.step_s, recent.step_s)
    resumed_s = last_plain(measured, recent)
    if resumed_s is not None:
        origin_s, horizons_s = resumed_s, horizons_s + origin_s - resumed_s
    said = fit.chosen.quantiles(recent, origin_s, horizons_s)
    if said is not None:
        return Path(fit.chosen.name, said * factor, fit.fallback or outage)
    said = fit.baseline.quantiles(recent, origin_s, horizons_s)
    if said is None:
        return None
    reason = fit.fallback or outage or f"{fit.chosen.name} has no season to follow at this hour"
    return Path(fit.baseline.name, said * factor, reason)


def _origins_at_hand(series: Series, until_s: float, every_s: float) -> int:
    """Count the origins since the first known step: a short history needs no long backtest."""
    known = np.flatnonzero(series.known)
    span_s = until_s - (series.start_s + int(known[0]) * series.step_s) if known.size else 0.0
    return max(int(span_s / every_s), 0) + 2


def _unless_doubted(measured: Series, plain: Series, believed: Series) -> Series:
    """Leave out of what was measured what is known without events and not believed."""
    if believed is plain:
        return measured
    known = measured.known & (believed.known | ~plain.known)
    return Series(measured.start_s, measured.step_s, measured.values, known)


def _taken_for_outage(measured: Series, believed: Series) -> str | None:
    """Say that the latest steps are not believed; a forecast from before them lowers nothing."""
    since_s = last_plain(measured, believed)
    if since_s is None:
        return None
    return f"zeros for {show_duration(measured.end_s - since_s)} are taken for an outage"


def _told(why: str, answering: Contender | Pool) -> str:
    return f"{why}; made of {answering.shares}" if isinstance(answering, Pool) else why


def _judge(contender: Contender | Pool, actual: Floats, operating: float) -> Judged:
    issued = contender.issued[-len(actual) :]
    unknown = np.isnan(issued) | np.isnan(actual)
    with np.errstate(invalid="ignore"):
        hit = np.where(unknown, np.nan, actual <= issued + 1e-9 * np.abs(issued))
    return Judged(contender.name, pinball(actual, issued, operating), hit)


def _too_young(bands: Calibration, every_s: float) -> str | None:
    if bands.feedback >= PRIOR_SCORES:
        return None
    needed, seen = (n * every_s / 60 for n in (PRIOR_SCORES, bands.feedback))
    return (
        f"bands rest on a prior: {seen:.0f} min of feedback at the longest horizon, {needed:.0f} are needed"
    )
