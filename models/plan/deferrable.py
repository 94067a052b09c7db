"""Fill troughs with requests that may wait: turn a backlog into the load that must be served now.

Work that is due later is poured over what the promises leave of the fleet until then, as water over a valley
floor: first what the fleet for the other classes leaves idle, and where that does not hold all of it, a level
above, the lowest that does. Where demand stands above that level, nothing is served now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.fleet import SUSTAINED, FleetModel
from models.capacity.load import ClassLoad
from models.mix import RequestMix
from models.observation import Observation
from models.plan.scenarios import mix_of, scenarios
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.prediction import Forecast, SignalForecast
from models.units import show_count, show_duration
from models.values import RequestClass, Role, Signal

Floats = NDArray[np.float64]
# Moments until the work is due at which the other classes' demand is looked at.
_MOMENTS = 48
# The highest of what the other classes are expected to need: of the levels, the one of nine in ten.
_LEVEL = 0.9


@dataclass(frozen=True, slots=True)
class _Work:
    """Hold what waits of one class: requests, their lengths, and the seconds until all must be done."""

    request_class: RequestClass
    requests: float
    mix: RequestMix
    left_s: float


@dataclass(frozen=True, slots=True)
class Deferred:
    """Hold the forecast with each class that waits at the rate that must be served now, and why."""

    forecast: Forecast
    sentences: tuple[str, ...] = ()

    @classmethod
    def over(
        cls,
        observation: Observation,
        forecast: Forecast,
        layouts: Mapping[Role, LayoutProfile],
        policy: PlanPolicy,
    ) -> "Deferred":
        """Replace the demand of classes that may wait; without any whose backlog is known, nothing.

        Classes of earlier ends come first, and what they take is gone for the others. One whose requests'
        lengths nobody knows is served as it comes.
        """
        waiting = sorted(_waiting(observation, forecast, policy), key=lambda work: work.left_s)
        if not waiting:
            return cls(forecast)
        names = {work.request_class.name for work in waiting}
        prompt = replace(
            forecast, signals={name: s for name, s in forecast.signals.items() if name not in names}
        )
        valley = _Valley(observation, prompt, layouts, policy)
        signals, said = dict(forecast.signals), []
        for work in waiting:
            rate_rps = valley.pour(work)
            signals[work.request_class.name] = _flat(work, rate_rps, forecast, policy)
            said.append(_sentence(work, rate_rps))
        return cls(replace(forecast, signals=signals), tuple(said))

    def said(self, sentence: str) -> str:
        """Add to a role's sentence what waits."""
        return "; ".join((sentence, *self.sentences))


class _Valley:
    """Hold what the other classes keep busy until work is due, in replicas, and what their fleet could do."""

    def __init__(
        self,
        observation: Observation,
        prompt: Forecast,
        layouts: Mapping[Role, LayoutProfile],
        policy: PlanPolicy,
    ) -> None:
        self._layouts, self._policy = layouts, policy
        classes = tuple(c for c in policy.classes if c.name in prompt.signals)
        self._offsets_s, self._busy = _path(observation, prompt, classes, layouts, policy)
        needed = _needed(observation, prompt, classes, layouts, policy)
        self._fleet = {
            role: np.maximum(needed[role] * busy, float(policy.pools[role].min_replicas))
            for role, busy in self._busy.items()
        }
        self._poured = {role: np.zeros(len(busy)) for role, busy in self._busy.items()}

    def pour(self, work: _Work) -> float:
        """Return the requests per second that sizing must count now, and remember what the work takes."""
        moments_s, step_s = _moments(work.left_s)
        at = np.minimum(np.searchsorted(self._offsets_s, moments_s), len(self._offsets_s) - 1)
        alone = FleetModel(
            self._layouts, [[ClassLoad.steady(work.request_class, 1.0, work.mix)]], self._policy.router
        )
        soon = moments_s <= max(self._policy.ready_horizon_s(), float(moments_s[0]))
        rate_rps = 0.0
        for role, busy in self._busy.items():
            each_s = float(alone.busy(role)[0])
            used, can = busy[at] + self._poured[role][at], SUSTAINED * self._fleet[role][at]
            level = _level(used, can, work.requests * each_s / step_s)
            self._poured[role][at] += np.maximum(np.maximum(level, can) - used, 0.0)
            now = float(used[soon].max())
            if level > float(can[soon].max()) and each_s > 0:
                rate_rps = max(rate_rps, (level - now) / each_s)
        return rate_rps


def _level(used: Floats, can: Floats, work: float) -> float:
    """Return the lowest level to which the fleet must be raised so that the work fits; 0 when it fits as is.

    `used` and `can` are replicas at moments of equal length, `work` replicas times moments.
    """
    low, high = 0.0, float(max(used.max(), can.max())) + work
    if np.maximum(can - used, 0.0).sum() >= work:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        fits = np.maximum(np.maximum(can, middle) - used, 0.0).sum() >= work
        low, high = (low, middle) if fits else (middle, high)
    return high


def _moments(left_s: float) -> tuple[Floats, float]:
    """Return moments spread evenly over the time that is left, and the seconds that each stands for."""
    count = int(min(max(left_s // 60.0, 1), _MOMENTS))
    step_s = left_s / count
    return step_s * (np.arange(count, dtype=np.float64) + 0.5), step_s


def _path(
    observation: Observation,
    prompt: Forecast,
    classes: Sequence[RequestClass],
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
) -> tuple[Floats, dict[Role, Floats]]:
    """Return moments ahead and the replicas that the other classes keep busy then.

    The last moment stands for all that lies beyond the forecast: the mean over it.
    """
    mixes = {c.name: mix_of(observation, c.name, prompt.signals[c.name]) for c in classes}
    known = [c for c in classes if mixes[c.name] is not None]
    if not known:
        return np.zeros(1), {role: np.zeros(1) for role in layouts}
    offsets_s = np.array(prompt.signals[known[0].name][Signal.ARRIVALS].offsets_s)
    picked = np.unique(np.linspace(0, len(offsets_s) - 1, min(len(offsets_s), 2 * _MOMENTS)).astype(int))
    rows = []
    for c in known:
        mix = mixes[c.name]
        assert mix is not None
        signals = prompt.signals[c.name]
        arrivals = _at_level(signals[Signal.ARRIVALS])[picked]
        work = [
            _at_level(signals[s])[picked] / max(tokens, 1e-9) if s in signals else arrivals
            for s, tokens in (
                (Signal.PREFILL_TOKENS, mix.mean_prefill_tokens),
                (Signal.DECODE_TOKENS, mix.mean_osl_tokens),
            )
        ]
        rows.append((c, mix, arrivals, *work))
    loads = [
        [ClassLoad(c, float(a[i]), float(p[i]), float(d[i]), mix) for c, mix, a, p, d in rows]
        for i in range(len(picked))
    ]
    model = FleetModel(layouts, loads, policy.router)
    busy = {role: model.busy(role) for role in layouts}
    beyond = {role: np.append(each, each.mean()) for role, each in busy.items()}
    return np.append(offsets_s[picked], np.inf), beyond


def _at_level(signal: SignalForecast) -> Floats:
    level = min(range(len(signal.levels)), key=lambda i: abs(signal.levels[i] - _LEVEL))
    return np.array(signal.paths[level])


def _needed(
    observation: Observation,
    prompt: Forecast,
    classes: Sequence[RequestClass],
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
) -> dict[Role, float]:
    """Return how many replicas the other classes need for each that they keep busy, as of now."""
    ahead = scenarios(observation, prompt, classes, policy.ready_horizon_s()) if classes else None
    if ahead is None:
        return dict.fromkeys(layouts, 0.0)
    model = FleetModel(layouts, ahead.loads, policy.router, ahead.loads.arrival_cv2)
    search = FleetSearch(model, ahead.weights, policy.targets())
    found = {}
    for role in layouts:
        busy = float(np.quantile(model.busy(role), _LEVEL))
        found[role] = search.alone(role) / busy if busy > 0 else 0.0
    return found


def _waiting(observation: Observation, forecast: Forecast, policy: PlanPolicy) -> list[_Work]:
    found = []
    for c in policy.classes:
        demand = observation.demand.get(c.name)
        if c.deferral is None or demand is None or demand.backlog is None:
            continue
        mix = mix_of(observation, c.name, forecast.signals.get(c.name, {}))
        if mix is not None:
            left_s = c.deferral.left_s(observation.at_s, demand.backlog.oldest_s)
            found.append(_Work(c, demand.backlog.requests, mix, left_s))
    return found


def _flat(
    work: _Work, rate_rps: float, forecast: Forecast, policy: PlanPolicy
) -> Mapping[Signal, SignalForecast]:
    """Write a rate as the forecast of a class, at every level and as far as the others reach."""
    some = next((s for signals in forecast.signals.values() for s in signals.values()), None)
    levels = (0.5,) if some is None else some.levels
    offsets_s = (policy.least_reach_s(),) if some is None else some.offsets_s

    def path(value: float) -> SignalForecast:
        paths = ((value,) * len(offsets_s),) * len(levels)
        return SignalForecast(levels, offsets_s, paths, "deferred", "what must be served now", 0.0)

    return {
        Signal.ARRIVALS: path(rate_rps),
        Signal.PREFILL_TOKENS: path(rate_rps * work.mix.mean_prefill_tokens),
        Signal.DECODE_TOKENS: path(rate_rps * work.mix.mean_osl_tokens),
    }


def _sentence(work: _Work, rate_rps: float) -> str:
    waits = f"{show_count(work.requests)} of {work.request_class.name} wait, due within"
    head = f"{waits} {show_duration(work.left_s)}"
    if rate_rps > 0:
        return f"{head}: {show_count(rate_rps)} rps of them now"
    return f"{head}: idle replicas serve them by then"
