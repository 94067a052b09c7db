"""Notice requests that grow longer from minute to minute, and say what they will have grown to."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from models.plan.surge import Surge
from models.prediction import Forecast, median_level
from models.units import show_count
from models.values import Signal

# Minutes whose mean lengths are looked at.
DRIFT_MINUTES = 6
# A slope is believed from so many of its standard errors on. Lengths of a minute vary by 2 % and their
# trends go on: of 0.21 foreseen (logarithm, three minutes ahead) 0.17 came, in all 117 minutes of a night and
# a crowd in which prompts or answers grew; two regular days and a flood show one such minute. Trends of
# arrivals do not go on: of 0.2 foreseen 0.02 came, however steep.
_ERRORS = 5.0
# Less growth in a minute lies inside the bands.
_LEAST = 0.01
# Lengths are expected to grow to so many times the last ones at most.
_MOST = 1.5

_WORDS = {Signal.PREFILL_TOKENS: "prefill tokens", Signal.DECODE_TOKENS: "decode tokens"}


def drifts(forecast: Forecast, until_s: float) -> tuple[Surge, ...]:
    """Find the token signals whose requests will be longer `until_s` from now than the forecast says.

    Arrivals are taken as forecast. Tokens per request follow a trend that is fitted to the logarithms of the
    last minutes.
    """
    return tuple(_drifts(forecast, until_s))


def _drifts(forecast: Forecast, until_s: float) -> Iterator[Surge]:
    for name, signals in forecast.signals.items():
        arrivals = signals.get(Signal.ARRIVALS)
        if arrivals is None or len(arrivals.latest) < DRIFT_MINUTES or min(arrivals.latest) <= 0:
            continue
        for signal, words in _WORDS.items():
            said = signals.get(signal)
            if said is None or len(said.latest) != len(arrivals.latest) or min(said.latest) <= 0:
                continue
            lengths = [t / n for t, n in zip(said.latest, arrivals.latest, strict=True)][-DRIFT_MINUTES:]
            tokens = _grown(lengths, until_s / 60.0)
            if tokens is None:
                continue
            middle = median_level(said.levels)
            value = tokens * arrivals.peak(until_s)[middle]
            foreseen = said.peak(until_s)[middle]
            if value > foreseen:
                first, last = show_count(lengths[0]), show_count(lengths[-1])
                sentence = (
                    f"{words} of {name} grow: {first} to {last} a request "
                    f"within {DRIFT_MINUTES} minutes, {show_count(tokens)} are expected"
                )
                yield Surge(name, signal, value, value / foreseen if foreseen > 0 else math.inf, sentence)


def _grown(lengths: Sequence[float], ahead_min: float) -> float | None:
    """Return the length so many minutes after the last ones; `None` where they do not surely grow."""
    n = len(lengths)
    logs = np.log(lengths)
    at = np.arange(n) - (n - 1) / 2.0
    spread = float(at @ at)
    slope = float(at @ logs) / spread
    rest = logs - logs.mean() - slope * at
    error = math.sqrt(float(rest @ rest) / (n - 2) / spread)
    if slope < _LEAST or slope < _ERRORS * error:
        return None
    # The last minute ends now; the middle of all lies half of them back.
    foreseen = float(np.exp(logs.mean() + slope * (n / 2.0 + ahead_min)))
    return min(foreseen, _MOST * lengths[-1])
