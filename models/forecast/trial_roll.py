"""Live through a series again: fit on the planner's schedule, and keep what each forecaster said."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from models.forecast.backtest import origin_step, origins, roll
from models.forecast.base import Fitted, NotYet
from models.forecast.candidates import candidates
from models.forecast.pool import Pool
from models.forecast.signal import SignalFit, fit_signal, path
from models.forecast.staged import Memory
from models.policy import ForecastPolicy
from models.series import Flags, Floats, Series

# What a tick hands over of the recent past: two hours of minutes, and on coarse steps 24 of them.
RECENT_S = 7200.0
RECENT_STEPS = 24

# What a blend of several models is called, whatever their weights.
BLEND = "blend"

# Reads seconds of any clock; models may not read one themselves.
Clock = Callable[[], float]
# Is told the share of the work that is done.
Watch = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Said:
    """Hold what one forecaster said, shape (origins, horizons): NaN where it said nothing.

    `low`, `middle` and `high` are its quantiles at 1 - q, one half and q. `own` is False at origins where it
    could not be fitted or could not say, and the last value answered in its place. `fit_s` and `path_s` are
    seconds of one fit and of one path.
    """

    low: Floats
    middle: Floats
    high: Floats
    own: Flags
    fit_s: float
    path_s: float


@dataclass(frozen=True, slots=True)
class Refit:
    """Say what one fit chose, and why; `fallback` says why what answers is not to be trusted."""

    at_s: float
    model: str
    why: str
    fallback: str | None


@dataclass(frozen=True, slots=True)
class Lived:
    """Hold what was said and what came: `actual` has the shape (origins, horizons), NaN where unknown.

    `selected` is what the planner would have been told and `answers` the model that told it ("" where nothing
    was said), `models` what it would have been told with that one candidate only. `fits` are all in turn.
    """

    origins_s: Floats
    horizons_s: Floats
    actual: Floats
    selected: Said
    answers: tuple[str, ...]
    models: dict[str, Said]
    fits: tuple[Refit, ...]


def live_through(
    series: Series,
    believed: Series,
    policy: ForecastPolicy,
    horizons_s: Floats,
    from_s: float,
    clock: Clock,
    watch: Watch = lambda share: None,
) -> Lived:
    """Forecast from each origin from `from_s` on to the end of the series, as the planner would have.

    Forecasts are scored against what is `believed` of the series, outages left out.
    `policy` names three levels (1 - q, one half, q) and reaches to the longest horizon; all horizons are
    whole steps. Fits happen at multiples of `policy.refit_s` and see only what came before.
    """
    every_s = origin_step(series.step_s)
    names = [c.name for c in candidates(policy, every_s)]
    until_s = series.end_s - float(horizons_s.min())
    phase_s = series.start_s % series.step_s
    last_s = float(origins(until_s, 1, every_s, phase_s)[0])
    count = max(math.floor((last_s - from_s) / every_s + 1e-9) + 1, 0)
    origins_s = origins(last_s, count, every_s, phase_s)
    diary = _Diary.blank(names, len(origins_s), len(horizons_s))
    for first, last, fit in _fits(series, policy, origins_s, diary, clock):
        for i in range(first, last):
            _ask(diary, fit, series, float(origins_s[i]), horizons_s, i, clock)
        watch(last / len(origins_s))
    own_fit_s = _fit_times(series, policy, every_s, clock)
    return Lived(
        origins_s,
        horizons_s,
        _came(believed, origins_s, horizons_s),
        diary.said("", diary.fitting_s / max(len(diary.fits), 1)),
        tuple(diary.answers),
        {name: diary.said(name, own_fit_s[name]) for name in names},
        tuple(diary.fits),
    )


@dataclass(slots=True)
class _Diary:
    """Collect what is said, per model; the selected forecast has the empty name."""

    quantiles: dict[str, Floats]
    own: dict[str, Flags]
    asked_s: dict[str, float]
    answers: list[str]
    fits: list[Refit]
    fitting_s: float = 0.0

    @classmethod
    def blank(cls, names: list[str], origins: int, horizons: int) -> "_Diary":
        every = ("", *names)
        return cls(
            {name: np.full((3, origins, horizons), np.nan) for name in every},
            {name: np.zeros(origins, dtype=np.bool_) for name in every},
            dict.fromkeys(every, 0.0),
            [""] * origins,
            [],
        )

    def said(self, name: str, fit_s: float) -> Said:
        low, middle, high = self.quantiles[name]
        own = self.own[name]
        return Said(low, middle, high, own, fit_s, self.asked_s[name] / max(len(own), 1))


def _fits(
    series: Series, policy: ForecastPolicy, origins_s: Floats, diary: _Diary, clock: Clock
) -> Iterator[tuple[int, int, SignalFit]]:
    """Yield each fit with the first and the last origin, exclusive, that are asked of it."""
    memory = Memory()
    due_s = policy.refit_s * np.floor(origins_s / policy.refit_s + 1e-9)
    starts = np.flatnonzero(np.diff(due_s, prepend=-np.inf))
    for first, last in zip(starts, [*starts[1:], len(origins_s)], strict=True):
        at_s = float(due_s[first])
        begun_s = clock()
        fit = fit_signal(series, at_s, policy, memory)
        memory.turn()
        diary.fitting_s += clock() - begun_s
        if isinstance(fit, NotYet):
            continue
        diary.fits.append(Refit(at_s, _label(fit), fit.why, fit.fallback))
        yield int(first), int(last), fit


def _ask(
    diary: _Diary, fit: SignalFit, series: Series, origin_s: float, horizons_s: Floats, i: int, clock: Clock
) -> None:
    """Write down what the selected forecast and each candidate say at one origin."""
    recent = series.window(origin_s - max(RECENT_S, RECENT_STEPS * series.step_s), origin_s)
    by_name = {c.name: replace(fit, chosen=c) for c in fit.contenders}
    alone = replace(fit, chosen=fit.baseline)
    for name, into in diary.quantiles.items():
        asked = by_name.get(name, alone) if name else fit
        begun_s = clock()
        path_said = path(asked, recent, origin_s, horizons_s)
        diary.asked_s[name] += clock() - begun_s
        if path_said is not None:
            into[:, i] = path_said.quantiles
            diary.own[name][i] = path_said.model == (name or fit.chosen.name)
            if not name:
                diary.answers[i] = _label(fit) if diary.own[name][i] else path_said.model


def _label(fit: SignalFit) -> str:
    """Return the name of what was chosen, without the weights of a blend: they change at every fit."""
    return BLEND if isinstance(fit.chosen, Pool) else fit.chosen.name


def _came(series: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
    """Return what was measured in the step that ends at each origin + horizon."""
    return roll(_Silent(), series, origins_s, horizons_s).actual


class _Silent(Fitted):
    """Say nothing: a backtest of it holds the actuals alone."""

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return NaN."""
        return np.full((len(origins_s), len(horizons_s)), np.nan)


def _fit_times(series: Series, policy: ForecastPolicy, every_s: float, clock: Clock) -> dict[str, float]:
    """Return what one fit to the whole series takes, for each candidate by itself."""
    taken = {}
    for i in range(len(candidates(policy, every_s))):
        # Made anew: models share parts, and a part fitted once is not fitted again.
        candidate = candidates(policy, every_s)[i]
        begun_s = clock()
        candidate.fit(series)
        taken[candidate.name] = clock() - begun_s
    return taken
