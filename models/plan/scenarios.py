"""Turn a forecast and an observation into weighted load scenarios for sizing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.load import Loads
from models.mix import RequestMix
from models.observation import Observation
from models.plan.intensity import intensities
from models.prediction import Forecast, SignalForecast, median_level
from models.values import RequestClass, Signal

# Beyond this ratio lengths did not drift: one of two forecasts is wrong.
_FAR = 1.25


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Hold one load per forecast quantile level, with the probability that it stands for, shape (levels,).

    All signals move together from level to level (comonotone): the careful assumption where their joint
    distribution is not known.
    """

    loads: Loads
    weights: NDArray[np.float64]

    def at_least_recent(self, forecast: Forecast) -> "Scenarios":
        """Raise every scenario to the highest recent demand, for forecasts that are not trusted."""
        recent = [
            [
                signals[signal].recent_peak / max(tokens, 1e-9) if signal in signals else 0.0
                for signal, tokens in tokens_of(mix).items()
            ]
            for mix, signals in zip(
                self.loads.mixes, (forecast.signals[c.name] for c in self.loads.classes), strict=True
            )
        ]
        return Scenarios(self.loads.raised(np.array(recent).T), self.weights)

    def with_backlog(self, prefill_rps: float) -> "Scenarios":
        """Add the rate at which a queue must be worked off, spread over classes by their share.

        What leaves the queue is decoded as well: without more decode replicas the surplus slows all others
        down there, and promises stay broken for minutes after the queue is gone.
        """
        return self if prefill_rps <= 0 else Scenarios(self.loads.with_work(prefill_rps), self.weights)


def tokens_of(mix: RequestMix) -> dict[Signal, float]:
    """Return what one request counts in each signal, in the order in which loads hold their rates."""
    return {
        Signal.ARRIVALS: 1.0,
        Signal.PREFILL_TOKENS: mix.mean_prefill_tokens,
        Signal.DECODE_TOKENS: mix.mean_osl_tokens,
    }


def scenarios(
    observation: Observation, forecast: Forecast, classes: Sequence[RequestClass], until_s: float
) -> Scenarios | None:
    """Take, per level, the highest intensity of each signal from now to `until_s`.

    Returns None when nothing can be sized, or when a class has demand whose lengths nobody knows: to leave it
    out would size for less than there is.
    """
    present: list[RequestClass] = []
    mixes: list[RequestMix] = []
    rates: list[tuple[tuple[float, ...], ...]] = []
    levels: Sequence[float] = ()
    bin_s = 0.0
    for request_class in classes:
        signals = forecast.signals.get(request_class.name)
        demand = observation.demand.get(request_class.name)
        arriving = demand is not None and (demand.arrivals_rps or 0.0) > 0
        if not signals or Signal.ARRIVALS not in signals:
            if arriving:
                return None
            continue
        mix = mix_of(observation, request_class.name, signals)
        if mix is None:
            if arriving or max(signals[Signal.ARRIVALS].peak(until_s)) > 0:
                return None
            continue
        present.append(request_class)
        mixes.append(mix)
        rates.append(_rates(mix, signals, until_s))
        levels, bin_s = signals[Signal.ARRIVALS].levels, signals[Signal.ARRIVALS].bin_s
    if not levels:
        return None
    # From (classes, signals, levels) to one array of (levels, classes) for each signal.
    by_signal = intensities(np.array(rates), mixes, levels, bin_s).transpose(1, 2, 0).copy()
    rate, prefill, decode = by_signal
    bursts = _arrival_cv2(observation, present, rate)
    return Scenarios(Loads(tuple(present), tuple(mixes), rate, prefill, decode, bursts), _weights(levels))


def _arrival_cv2(
    observation: Observation, classes: Sequence[RequestClass], rates_rps: NDArray[np.float64]
) -> float:
    """Return Ca^2 of all classes together, by their rates: variances and means of independent streams add."""
    middle = rates_rps[len(rates_rps) // 2]
    each = [observation.demand[c.name].arrival_cv2 if c.name in observation.demand else None for c in classes]
    total = float(middle.sum())
    return float(middle @ [one or 1.0 for one in each]) / total if total > 0 else 1.0


def _rates(
    mix: RequestMix, signals: Mapping[Signal, SignalForecast], until_s: float
) -> tuple[tuple[float, ...], ...]:
    """Return arrivals, prefill and decode of one class as rates of requests, per level."""
    arrivals = signals[Signal.ARRIVALS].peak(until_s)
    prefill = _per_request(signals.get(Signal.PREFILL_TOKENS), mix.mean_prefill_tokens, arrivals, until_s)
    decode = _per_request(signals.get(Signal.DECODE_TOKENS), mix.mean_osl_tokens, arrivals, until_s)
    return arrivals, prefill, decode


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


def mix_of(
    observation: Observation, name: str, signals: Mapping[Signal, SignalForecast]
) -> RequestMix | None:
    """Return the lengths of a class's requests as last seen, or else as they are forecast."""
    demand = observation.demand.get(name)
    if demand is not None and demand.mix is not None:
        return demand.mix
    # No lengths seen yet: their forecast means are the best that is known.
    arrivals = signals.get(Signal.ARRIVALS)
    if arrivals is None:
        return None
    middle = median_level(arrivals.levels)
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
