"""React to what is measured where it is worse than what was foreseen: the net under forecast and model.

It only ever raises. All that it reads stands in the Observation and in the Forecast, so a Record replays.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.capacity.fleet import FleetModel, Floats
from models.observation import LatencyReading, Observation
from models.plan.drift import drifts
from models.plan.search import FleetSearch
from models.plan.surge import Surge
from models.policy import PlanPolicy
from models.prediction import Forecast, SignalForecast
from models.units import show_count, show_duration
from models.values import Binding, Role, Signal

# Minutes that must lie above the forecast one after the other.
SURGE_MINUTES = 2
# Where so many requests queue for each replica the last minute is enough, if it lies twice as far above the
# median as that quantile (5 standard deviations). Either alone comes by chance where an error budget is
# spent, and costs 20 to 40 changes on a regular day.
_LONG_QUEUE = 4
# The quantile of the next minute above which they must lie. What lies below is sized for; two minutes above
# 0.9 come by chance alone a dozen times a day.
SURGE_LEVEL = 0.995
# How far above the lower of those minutes a raised quantile may lie: a forecast near zero has wide bands, and
# its ratios say nothing.
_SPREAD = 1.5
# The share of the time left for waiting that nine of ten requests may use up. A fleet that keeps a promise to
# 99 % uses up to half of it (an exponential tail: ln 10 / ln 100); from there on it rises steeply.
_WAIT_SHARE = 0.75
# Of the inter-token latency nine of ten may use all: the batch is sized to end just below it.
_ITL_SHARE = 1.0
# A law asks for at most this many times what serves now, and what the forecast needs: it cannot run away
# where more replicas do not help, and holds nothing once demand is gone.
_MOST = 1.5


@dataclass(frozen=True, slots=True)
class Floor:
    """Say how many replicas measured latency asks for, at least."""

    replicas: int
    sentence: str


def surges(forecast: Forecast, queued: bool = False) -> tuple[Surge, ...]:
    """Find the signals whose last minutes were all above an upper quantile of the next one.

    Where requests are `queued` the last minute alone counts, if it is twice as far above the median.
    """
    return tuple(_surges(forecast, queued))


def _surges(forecast: Forecast, queued: bool) -> Iterator[Surge]:
    for name, signals in forecast.signals.items():
        for signal, said in signals.items():
            if len(said.latest) < SURGE_MINUTES:
                continue
            minutes = said.latest[-SURGE_MINUTES:]
            middle, upper = (_next(said, q) for q in (0.5, SURGE_LEVEL))
            value, upper = min(minutes), max(upper, 0.0)
            if queued and minutes[-1] > 2.0 * upper - middle:
                value = minutes[-1]
                if minutes[-2] <= upper:
                    # The rise began within the minute: at its end demand is as far above the minute's mean
                    # as that is above the minute before.
                    value += value - minutes[-2]
            if value <= upper:
                continue
            seen = " and ".join(show_count(value) for value in minutes)
            sentence = (
                f"{signal.replace('_', ' ')} of {name} were {seen} per second in the last minutes, the "
                f"forecast for the next is {show_count(middle)}"
            )
            yield Surge(name, signal, value, value / middle if middle > 0 else math.inf, sentence)


def outgrown(observation: Observation, forecast: Forecast) -> tuple[Surge, ...]:
    """Find the signals whose forecast is not trusted and lies below what was just measured.

    A young history or an outage leaves the last level and bands that rest on a prior: one look above their
    upper quantile is enough. A look is a minute's mean that ends now, and the minutes of a forecast are whole
    ones: on a ramp that is up to two minutes sooner.
    """
    return tuple(_outgrown(observation, forecast))


def _outgrown(observation: Observation, forecast: Forecast) -> Iterator[Surge]:
    age_s = observation.demand_age_s
    if age_s is None or age_s > observation.window_s:
        return
    for name, signals in forecast.signals.items():
        for signal, said in signals.items():
            seen = observation.demand.get(name)
            value = None if seen is None else seen.value(signal)
            if said.fallback is None or value is None:
                continue
            middle, upper = (_next(said, q) for q in (0.5, SURGE_LEVEL))
            if value > max(upper, 0.0):
                sentence = (
                    f"{signal.replace('_', ' ')} of {name} are {show_count(value)} per second, the forecast "
                    f"for the next minute is {show_count(middle)} and not trusted"
                )
                yield Surge(name, signal, value, value / middle if middle > 0 else math.inf, sentence)


def _next(said: SignalForecast, level: float) -> float:
    """Return a quantile of the first step; between two levels on the line, beyond them the nearest."""
    return float(np.interp(level, said.levels, [path[0] for path in said.paths]))


def raised(forecast: Forecast, found: Sequence[Surge]) -> Forecast:
    """Return the forecast with every path of a surging signal multiplied by its factor."""
    if not found:
        return forecast
    signals = {name: dict(each) for name, each in forecast.signals.items()}
    for surge in found:
        said = signals[surge.request_class][surge.signal]
        limit = _SPREAD * surge.value
        paths = tuple(tuple(_lifted(v, surge.factor, limit) for v in path) for path in said.paths)
        signals[surge.request_class][surge.signal] = replace(said, paths=paths)
    return replace(forecast, signals=signals)


def _lifted(value: float, factor: float, limit: float) -> float:
    higher = limit / _SPREAD if math.isinf(factor) else value * factor
    return min(higher, max(value, limit))


def latency_floors(observation: Observation, search: FleetSearch, policy: PlanPolicy) -> dict[Role, Floor]:
    """Return per role the replicas that measured latency asks for, where it is near or over the promise.

    The replicas that are ready made those latencies: `ready * ratio` are needed, and what is starting counts
    towards them, so that no order is given twice. Waiting asks for more while requests still queue: latencies
    of requests that are done tell of a queue when it may be gone. What is ready is not let go while they are
    too long, or what was just ordered would be given back before it shows. A class whose promise one request
    alone breaks asks for nothing: no count mends that. Nor does one of which nothing arrives: its readings
    are old.
    """
    found: dict[Role, Floor] = {}
    model, targets = search.model, policy.targets()
    for i, (name, ceiling) in enumerate(zip(model.names, model.ceiling.tolist(), strict=True)):
        reading = observation.latency.get(name)
        seen = observation.demand.get(name)
        if reading is None or ceiling < targets[name] or (seen is not None and seen.arrivals_rps == 0.0):
            continue
        for role, ratio, sentence in _strained(i, name, reading, observation, model):
            pool = observation.pools.get(role)
            if pool is None or pool.ready == 0:
                continue
            most = math.ceil(_MOST * search.alone(role))
            wanted = min(math.ceil(pool.ready * min(ratio, _MOST)), most)
            if wanted > (found[role].replicas if role in found else 0):
                asked = f"ask for {wanted}" if wanted > pool.ready else "are not too many"
                found[role] = Floor(wanted, f"{sentence}: {pool.ready} ready {asked}")
    return found


def _strained(
    index: int, name: str, reading: LatencyReading, observation: Observation, model: FleetModel
) -> Iterator[tuple[Role, float, str]]:
    """Yield the roles that one class finds too slow: by what ratio, and in what words."""
    kind = model.classes[index]
    front = Role.AGGREGATED if model.aggregated else Role.PREFILL
    back = Role.AGGREGATED if model.aggregated else Role.DECODE
    if reading.ttft_p90_s is not None and kind.slo.ttft_s is not None:
        alone_s = _p90(kind.work.alone_s, kind.work.weight)
        slack_s = kind.slo.ttft_s - alone_s
        share = (reading.ttft_p90_s - alone_s) / slack_s if slack_s > 0 else 0.0
        if share > _WAIT_SHARE:
            took, promised = show_duration(reading.ttft_p90_s), show_duration(kind.slo.ttft_s)
            ratio = share / _WAIT_SHARE if _queues(observation, front) else 1.0
            yield front, ratio, f"TTFT of {name} is {took} at P90, {promised} promised"
    if reading.itl_p90_s is not None and kind.slo.itl_s is not None:
        share = reading.itl_p90_s / kind.slo.itl_s
        if share > _ITL_SHARE:
            took, promised = show_duration(reading.itl_p90_s), show_duration(kind.slo.itl_s)
            yield back, share / _ITL_SHARE, f"ITL of {name} is {took} at P90, {promised} promised"


def _queues(observation: Observation, role: Role, each: int = 1) -> bool:
    """Whether so many requests wait for each replica on average, or nobody can tell."""
    pool = observation.pools.get(role)
    return observation.queue is None or observation.queue.requests >= each * (pool.ready if pool else 0)


def _p90(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(reached, 0.9 * reached[-1] - 1e-9)), len(order) - 1)])


def with_floors(alone: Mapping[Role, int], floors: Mapping[Role, Floor]) -> dict[Role, int]:
    """Return what each role needs by itself or is asked for, whichever is more."""
    return {role: max(n, floors[role].replicas if role in floors else 0) for role, n in alone.items()}


@dataclass(frozen=True, slots=True)
class Net:
    """Hold what one tick reacts to: the forecast, raised by its surges, and those."""

    forecast: Forecast
    found: tuple[Surge, ...] = ()

    @classmethod
    def over(cls, observation: Observation, forecast: Forecast, policy: PlanPolicy) -> "Net":
        """Raise a forecast by what was measured above it; where the policy wants no net nothing is."""
        fronts = [role for role in policy.pools if role is not Role.DECODE]
        queued = observation.queue is not None and any(
            _queues(observation, role, _LONG_QUEUE) for role in fronts
        )
        if not policy.reactive:
            return cls(forecast)
        highest: dict[tuple[str, Signal], Surge] = {}
        grown = drifts(forecast, policy.ready_horizon_s())
        for surge in (*surges(forecast, queued), *outgrown(observation, forecast), *grown):
            key = surge.request_class, surge.signal
            highest[key] = max(surge, highest.get(key, surge), key=lambda each: each.value)
        found = tuple(highest.values())
        return cls(raised(forecast, found), found)

    def floors(self, observation: Observation, search: FleetSearch, policy: PlanPolicy) -> dict[Role, Floor]:
        """Return the least counts that measured latency asks for."""
        return latency_floors(observation, search, policy) if policy.reactive else {}

    def binding(self, role: Role, count: int, floors: Mapping[Role, Floor], otherwise: Binding) -> Binding:
        """Name the net where measured latency sets a role's count."""
        return Binding.REACTIVE if role in floors and floors[role].replicas >= count else otherwise

    def said(self, role: Role, floors: Mapping[Role, Floor], sentence: str) -> str:
        """Add to a role's sentence what it reacts to."""
        mine = [s.sentence for s in self.found if _concerns(s.signal, role)]
        if role in floors:
            mine.append(floors[role].sentence)
        return "; ".join((sentence, *mine))


def _concerns(signal: Signal, role: Role) -> bool:
    if signal is Signal.ARRIVALS or role is Role.AGGREGATED:
        return True
    return (signal is Signal.PREFILL_TOKENS) == (role is Role.PREFILL)
