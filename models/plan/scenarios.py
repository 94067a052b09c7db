"""Turn a forecast and an observation into weighted load scenarios for sizing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.capacity.load import ClassLoad
from models.mix import RequestMix
from models.observation import Observation
from models.prediction import Forecast, SignalForecast
from models.values import RequestClass, Signal

# Beyond this ratio lengths did not drift: one of two forecasts is wrong.
_FAR = 1.25


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Hold one load per forecast quantile level, with the probability that it stands for, shape (levels,).

    All signals move together from level to level (comonotone): the careful assumption where their joint
    distribution is not known.
    """

    loads: tuple[tuple[ClassLoad, ...], ...]
    weights: NDArray[np.float64]

    def median(self) -> "Scenarios":
        """Return the middle scenario alone."""
        return Scenarios((self.loads[len(self.loads) // 2],), np.ones(1))

    def at_least_recent(self, forecast: Forecast) -> "Scenarios":
        """Raise every scenario to the highest recent demand, for forecasts that are not trusted."""
        classes = (_raised(levels, forecast) for levels in zip(*self.loads, strict=True))
        return Scenarios(tuple(zip(*classes, strict=True)), self.weights)

    def with_backlog(self, prefill_rps: float) -> "Scenarios":
        """Add the rate at which a queue must be worked off, spread over classes by their share.

        What leaves the queue is decoded as well: without more decode replicas the surplus slows all others
        down there, and promises stay broken for minutes after the queue is gone.
        """
        if prefill_rps <= 0:
            return self
        return Scenarios(tuple(_add(load, prefill_rps) for load in self.loads), self.weights)


def scenarios(
    observation: Observation, forecast: Forecast, classes: Sequence[RequestClass], until_s: float
) -> Scenarios | None:
    """Take, per level, the highest demand of each signal from now to `until_s`.

    Returns None when nothing can be sized, or when a class has demand whose lengths nobody knows: to leave it
    out would size for less than there is.
    """
    parts: list[list[ClassLoad]] = []
    weights = None
    for request_class in classes:
        signals = forecast.signals.get(request_class.name)
        demand = observation.demand.get(request_class.name)
        arriving = demand is not None and (demand.arrivals_rps or 0.0) > 0
        if not signals or Signal.ARRIVALS not in signals:
            if arriving:
                return None
            continue
        mix = _mix(observation, request_class.name, signals)
        if mix is None:
            if arriving or max(signals[Signal.ARRIVALS].peak(until_s)) > 0:
                return None
            continue
        parts.append(_class_loads(request_class, mix, signals, until_s))
        weights = _weights(signals[Signal.ARRIVALS].levels)
    if not parts or weights is None:
        return None
    return Scenarios(tuple(zip(*parts, strict=True)), weights)


def _class_loads(
    request_class: RequestClass,
    mix: RequestMix,
    signals: "dict[Signal, SignalForecast] | object",
    until_s: float,
) -> list[ClassLoad]:
    assert isinstance(signals, dict)
    arrivals = signals[Signal.ARRIVALS].peak(until_s)
    prefill = _per_request(signals.get(Signal.PREFILL_TOKENS), mix.mean_prefill_tokens, arrivals, until_s)
    decode = _per_request(signals.get(Signal.DECODE_TOKENS), mix.mean_osl_tokens, arrivals, until_s)
    return [
        ClassLoad(request_class, rate, p, d, mix)
        for rate, p, d in zip(arrivals, prefill, decode, strict=True)
    ]


def _per_request(
    signal: SignalForecast | None, tokens: float, arrivals: tuple[float, ...], until_s: float
) -> tuple[float, ...]:
    """Express a token forecast as a rate of requests of the mix's mean length.

    Signals choose their models apart. Work far below what the arrivals of the same class imply was forecast
    by a model that missed their jump; the arrivals are believed then.
    """
    if signal is None:
        return arrivals
    work = tuple(value / max(tokens, 1e-9) for value in signal.peak(until_s))
    return tuple(a if a > _FAR * w else w for a, w in zip(arrivals, work, strict=True))


def _mix(observation: Observation, name: str, signals: Mapping[Signal, SignalForecast]) -> RequestMix | None:
    demand = observation.demand.get(name)
    if demand is not None and demand.mix is not None:
        return demand.mix
    # No lengths seen yet: their forecast means are the best that is known.
    arrivals = signals[Signal.ARRIVALS]
    middle = len(arrivals.levels) // 2
    prefill, decode = signals.get(Signal.PREFILL_TOKENS), signals.get(Signal.DECODE_TOKENS)
    # The first moment with arrivals: a nightly batch has none now and still has lengths.
    when = next((i for i, rate in enumerate(arrivals.paths[middle]) if rate > 0), None)
    if when is None or prefill is None or decode is None:
        return None
    rate = arrivals.paths[middle][when]
    return RequestMix.constant(
        max(prefill.paths[middle][when] / rate, 1.0), max(decode.paths[middle][when] / rate, 1.0)
    )


def _weights(levels: Sequence[float]) -> NDArray[np.float64]:
    """Give each level the probability between the midpoints to its neighbours; they sum to 1."""
    edges = np.concatenate([[0.0], (np.array(levels[1:]) + np.array(levels[:-1])) / 2, [1.0]])
    return np.diff(edges)


def _add(load: tuple[ClassLoad, ...], prefill_rps: float) -> tuple[ClassLoad, ...]:
    total = sum(c.prefill_rps for c in load)
    if total <= 0:
        return load
    more = 1 + prefill_rps / total
    return tuple(replace(c, prefill_rps=c.prefill_rps * more, decode_rps=c.decode_rps * more) for c in load)


def _raised(loads: tuple[ClassLoad, ...], forecast: Forecast) -> list[ClassLoad]:
    """Raise the loads of one class, one per level, to its highest recent demand."""
    mix, signals = loads[0].mix, forecast.signals[loads[0].request_class.name]

    def recent(signal: Signal, tokens: float) -> float:
        return signals[signal].recent_peak / max(tokens, 1e-9) if signal in signals else 0.0

    rate_rps = recent(Signal.ARRIVALS, 1.0)
    prefill_rps = recent(Signal.PREFILL_TOKENS, mix.mean_prefill_tokens)
    decode_rps = recent(Signal.DECODE_TOKENS, mix.mean_osl_tokens)
    return [
        ClassLoad(
            load.request_class,
            max(load.rate_rps, rate_rps),
            max(load.prefill_rps, prefill_rps),
            max(load.decode_rps, decode_rps),
            mix,
        )
        for load in loads
    ]
