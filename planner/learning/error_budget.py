"""Spend the error budget of a promise over a day, set by the usual day and steered by what was kept."""

import math
from collections.abc import Mapping

import numpy as np

from models.artifact import LayoutProfile
from models.observation import Observation
from models.plan.error_budget import allowance, burn_rate, steered
from models.plan.scenarios import Scenarios, scenarios, tokens_of
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.series import Floats
from models.speed import corrected
from models.values import Role, Signal
from planner.history import History
from planner.learning.hindsight import Hindsight

HOUR_S = 3600.0
STEP_S = 300.0
# Steps of every hour that are looked at: half an hour.
_STEPS = 6
# So many hours stand for the window: of a longer one every n-th, over all hours of the day.
_HOURS = 24
# With fewer of them known nobody knows what is usual.
_LEAST_HOURS = 12


class ErrorBudget:
    """Work out at which rate a deployment's error budget may be spent; see `models.plan.error_budget`.

    After a start the last day's demand sets it; from then on it is steered by what the fleets that were ready
    kept of what came. The answer holds until the next full hour. It is 1 where the promise must hold at every
    moment, where the plan goes by prices, and where the forecast is not trusted; until half of the hours are
    known it stays there.
    """

    def __init__(self, layouts: Mapping[Role, LayoutProfile], history: History) -> None:
        """Bind the layouts that serve, and what is remembered of demand."""
        self._layouts = layouts
        self._history = history
        self._hindsight = Hindsight(layouts)
        self._hour = -1
        self._burn_rate: float | None = None

    def burn_rate(self, observation: Observation, forecast: Forecast, plan: PlanPolicy) -> float:
        """Return the burn rate to plan with."""
        if plan.attainment_window_s <= 0 or plan.by_price or not forecast.trusted:
            return 1.0
        ahead = scenarios(observation, forecast, plan.classes, plan.ready_horizon_s())
        if ahead is None:
            return 1.0
        self._hindsight.take(observation, ahead, plan)
        hour = math.floor(observation.at_s / HOUR_S)
        if hour != self._hour:
            self._hour = hour
            self._burn_rate = self._renewed(ahead, observation.at_s, plan)
        return 1.0 if self._burn_rate is None else self._burn_rate

    def _renewed(self, ahead: Scenarios, now_s: float, plan: PlanPolicy) -> float | None:
        """Return the burn rate of the hour that begins; `None` while it is not known what is usual."""
        if self._burn_rate is None:
            until_s = HOUR_S * math.floor(now_s / HOUR_S)
            usual_rps = self._usual_rps(ahead, until_s, plan.attainment_window_s)
            if len(usual_rps) < _LEAST_HOURS:
                return None
            return burn_rate(usual_rps, ahead, corrected(self._layouts, plan.pools), plan)
        spent = self._hindsight.spent()
        names = [each.name for each in ahead.loads.classes]
        if spent is None or len(spent) != len(names):
            return self._burn_rate
        return steered(self._burn_rate, spent, allowance(plan, names))

    def _usual_rps(self, ahead: Scenarios, until_s: float, window_s: float) -> Floats:
        """Return spells in which every class was measured, as rates of requests, (spells, steps, 3, classes).

        Of every hour its last part stands for it: long enough to hold what a fleet must stand, short enough
        that no fleet would have been changed much meanwhile.
        """
        hours = max(math.floor(window_s / HOUR_S), 1)
        columns = [
            self._steps(request_class.name, signal, until_s, hours) / max(tokens, 1e-9)
            for request_class, mix in zip(ahead.loads.classes, ahead.loads.mixes, strict=True)
            for signal, tokens in tokens_of(mix).items()
        ]
        # From (classes x signals, hours x steps of an hour).
        each = np.array(columns).reshape(len(ahead.loads.classes), 3, hours, -1).transpose(2, 3, 1, 0)
        each = each[:: _stride(hours), -_STEPS:]
        known: Floats = each[np.isfinite(each).all(axis=(1, 2, 3)) & (each[:, :, 0].sum(axis=(1, 2)) > 0)]
        return known

    def _steps(self, name: str, signal: Signal, until_s: float, hours: int) -> Floats:
        """Return a signal's means over steps of the hours before `until_s`; NaN where half is unknown."""
        first_s = until_s - hours * HOUR_S
        series = self._history.series(name, signal, first_s).window(first_s, until_s).resample(STEP_S)
        means = np.full(round(hours * HOUR_S / STEP_S), np.nan)
        at = np.round((series.times_s - first_s) / STEP_S).astype(int)
        means[at[series.known]] = series.known_values
        return means


def _stride(hours: int) -> int:
    """Return the step that leaves about `_HOURS` hours and visits every hour of the day: coprime with 24."""
    step = max(round(hours / _HOURS), 1)
    while math.gcd(step, 24) != 1:
        step += 1
    return step
