"""Forecast with the workload in hand: the bound that no forecaster can pass."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from models.observation import Observation
from models.policy import ForecastPolicy
from models.prediction import Forecast, SignalForecast
from models.series import Floats, Series
from models.simulation.timescale import TimeScale
from models.simulation.workload import Index, Workload
from models.values import Signal
from planner.history import History


class PerfectForecaster:
    """Say of every step ahead what will be measured in it.

    The demand of a step is its requests, and the tokens of those very requests, over its length: what an
    observer counts, noise included. The rate behind the counts is in no recorded trace, and a smoothed one
    comes early or late where demand jumps. Nothing being in doubt, all quantiles are equal, and no recent
    peak has to be held against a dip that is only noise: `recent_peak` is 0.

    Past the last whole step of the workload its demand goes on: that a recording ends is no lull in which
    anybody would save GPUs.
    """

    def __init__(
        self, workload: Workload, scale: TimeScale, policy: ForecastPolicy, classes: Sequence[str]
    ) -> None:
        """Read the workload; steps and levels are the policy's, in the time of the story."""
        self._step_s = policy.grid_s
        self._offsets_s = np.zeros(0)
        self.reach(policy.reach_s, 0.0)
        self._levels = policy.levels
        self.history = History()
        self._scale = scale
        self._end_s = scale.story_s(workload.span_s)
        self._arrival_s = {name: _arrivals(workload, name) for name in classes}
        self._running = {name: _running(workload, name) for name in classes}

    def absorb(self, observation: Observation) -> None:
        """Remember the demand of one observation; what comes is known without."""
        self.history.absorb(observation)

    def seed(self, past: Mapping[str, Mapping[Signal, Series]]) -> None:
        """Remember demand from before the workload."""
        self.history.seed(past)

    def reach(self, ahead_s: float, back_s: float) -> None:
        """Extend paths to at least `ahead_s`; the past is not asked."""
        steps = max(math.ceil(ahead_s / self._step_s - 1e-9), self._offsets_s.size, 1)
        self._offsets_s = self._step_s * np.arange(1, steps + 1, dtype=np.float64)

    def forecast(self, now_s: float) -> Forecast:
        """Return what will be measured in each step after `now_s`."""
        whole = math.floor((self._end_s - now_s) / self._step_s + 1e-9)
        # A step that the end cuts short is answered by the last whole one.
        ends_s = now_s + np.minimum(self._offsets_s, self._step_s * whole)
        begins, ends = self._simulated_s(ends_s - self._step_s), self._simulated_s(ends_s)
        step_s = self._scale.simulated_span_s(self._step_s)
        signals: dict[str, dict[Signal, SignalForecast]] = {}
        for name, arrival_s in self._arrival_s.items():
            first, last = (np.searchsorted(arrival_s, edges, side="right") for edges in (begins, ends))
            signals[name] = {
                signal: self._said((running[last] - running[first]) / step_s)
                for signal, running in self._running[name].items()
            }
        return Forecast(now_s, signals)

    def _simulated_s(self, story_s: Floats) -> Floats:
        """Return seconds since the first arrival, as the fleet counts them."""
        return (story_s - self._scale.origin_s) / self._scale.compression

    def _said(self, demand: Floats) -> SignalForecast:
        return SignalForecast(
            levels=self._levels,
            offsets_s=tuple(self._offsets_s.tolist()),
            paths=(tuple(demand.tolist()),) * len(self._levels),
            model="perfect",
            why="the workload is known",
            recent_peak=0.0,
        )


def _mine(workload: Workload, name: str) -> Index:
    if name not in workload.class_names:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(workload.class_index == workload.class_names.index(name))


def _arrivals(workload: Workload, name: str) -> Floats:
    """Return when the requests of a class arrive, in seconds since the first of the workload."""
    times_s: Floats = workload.arrival_s[_mine(workload, name)] - workload.start_s
    return times_s


def _running(workload: Workload, name: str) -> Mapping[Signal, Floats]:
    """Return per signal what had come before each request of a class, shape (requests + 1,)."""
    mine = _mine(workload, name)
    amounts: dict[Signal, Floats] = {
        Signal.ARRIVALS: np.ones(mine.size),
        Signal.PREFILL_TOKENS: workload.prefill_tokens()[mine].astype(np.float64),
        Signal.DECODE_TOKENS: workload.osl_tokens[mine].astype(np.float64),
    }
    return {signal: np.concatenate((np.zeros(1), np.cumsum(values))) for signal, values in amounts.items()}
