"""Keep the demand seen so far, per class and signal, minute by minute."""

import math
from collections.abc import Collection, Mapping

import numpy as np

from models.mix import RequestMix
from models.observation import Observation
from models.series import Floats, Series
from models.values import Signal

MINUTE_S = 60.0
# What is remembered, and read back at a start: four weeks, on which weekly and daily seasons can be compared.
SPAN_S = 28 * 86_400.0
# A minute is known when at least half of it was measured.
KNOWN_SHARE = 0.5


class History:
    """Remember up to `span_s` of demand on a one-minute grid, whatever the interval of the ticks.

    An observation counts for the part of its window that was not measured before: a longer tick fills several
    minutes, shorter ones are averaged over theirs by time, and the same tick twice changes nothing. What was
    unknown stays a gap.
    """

    def __init__(self, span_s: float = SPAN_S) -> None:
        """Begin with nothing."""
        self._span_s = span_s
        self._minutes: dict[tuple[str, Signal], _Minutes] = {}
        self._mix: dict[str, RequestMix] = {}

    def absorb(self, observation: Observation) -> None:
        """Remember the demand of one observation; values that are unknown, negative or NaN are gaps."""
        until_s = observation.demand_at_s
        for name, demand in observation.demand.items():
            if demand.mix is not None:
                self._mix[name] = demand.mix
            for signal in Signal:
                value = demand.value(signal)
                if until_s is not None and value is not None and math.isfinite(value) and value >= 0:
                    self._of(name, signal).add(until_s - observation.window_s, until_s, value)

    def seed(self, past: Mapping[str, Mapping[Signal, Series]]) -> None:
        """Lay what a HistorySource remembers under what was seen since; steps of any length will do."""
        for name, signals in past.items():
            for signal, series in signals.items():
                self._of(name, signal).underlay(series.resample(MINUTE_S, KNOWN_SHARE))

    def keep(self, names: Collection[str]) -> None:
        """Forget every class that is not named."""
        self._minutes = {key: each for key, each in self._minutes.items() if key[0] in names}
        self._mix = {name: each for name, each in self._mix.items() if name in names}

    def series(self, name: str, signal: Signal, from_s: float = -math.inf) -> Series:
        """Return the minutes that begin at `from_s` or later; empty for what was never seen."""
        minutes = self._minutes.get((name, signal))
        return Series.empty(MINUTE_S) if minutes is None else minutes.series(from_s)

    def known_span_s(self, name: str, signal: Signal) -> tuple[float, float] | None:
        """Return the beginning of the first and the end of the last known minute; `None` without any."""
        minutes = self._minutes.get((name, signal))
        return None if minutes is None else minutes.known_span_s()

    def revision(self, name: str, signal: Signal) -> int:
        """Return a number that changes whenever something new was remembered."""
        minutes = self._minutes.get((name, signal))
        return 0 if minutes is None else minutes.revision

    def mix(self, name: str) -> RequestMix | None:
        """Return the lengths last seen of a class; `None` until some were."""
        return self._mix.get(name)

    def _of(self, name: str, signal: Signal) -> "_Minutes":
        return self._minutes.setdefault((name, signal), _Minutes(max(round(self._span_s / MINUTE_S), 1)))


class _Minutes:
    """Hold one signal: per minute the amount (value times seconds) and the seconds that were measured.

    Minute `first + i` since the epoch lies at index i. The arrays grow by doubling and lose their front once
    they are a quarter longer than the span.
    """

    def __init__(self, span: int) -> None:
        self._span = span
        self._first = 0
        self._count = 0
        self._amount = np.zeros(256)
        self._seconds = np.zeros(256)
        self._until_s = -math.inf
        self._oldest: int | None = None
        self.revision = 0

    def add(self, from_s: float, until_s: float, value: float) -> None:
        """Count `value` for the part of [from_s, until_s) that comes after everything added before."""
        from_s = max(from_s, self._until_s, until_s - self._span * MINUTE_S)
        if from_s >= until_s:
            return
        first, last = math.floor(from_s / MINUTE_S), math.ceil(until_s / MINUTE_S) - 1
        self._reach(first, last)
        begins = MINUTE_S * np.arange(first, last + 1, dtype=np.float64)
        part = np.minimum(begins + MINUTE_S, until_s) - np.maximum(begins, from_s)
        at = slice(first - self._first, last - self._first + 1)
        self._amount[at] += value * part
        self._seconds[at] += part
        self._until_s = until_s
        self.revision += 1

    def underlay(self, series: Series) -> None:
        """Fill minutes that are not known from a one-minute series; what was added stays."""
        known = np.flatnonzero(series.known)
        if known.size == 0:
            return
        begin = round(series.start_s / MINUTE_S)
        self._reach(begin + int(known[0]), begin + int(known[-1]))
        known = known[begin + known >= self._first]
        at = begin + known - self._first
        free = self._seconds[at] < KNOWN_SHARE * MINUTE_S
        self._amount[at[free]] = series.values[known[free]] * MINUTE_S
        self._seconds[at[free]] = MINUTE_S
        self._until_s = max(self._until_s, (begin + int(known[-1]) + 1) * MINUTE_S)
        self._oldest = None
        self.revision += 1

    def series(self, from_s: float) -> Series:
        """Return the minutes from `from_s` on, at most the span of them."""
        skip = max(self._count - self._span, 0)
        if math.isfinite(from_s):
            skip = min(max(math.ceil(from_s / MINUTE_S - 1e-9) - self._first, skip), self._count)
        seconds = self._seconds[skip : self._count]
        known = seconds >= KNOWN_SHARE * MINUTE_S
        values = self._amount[skip : self._count] / np.where(known, seconds, 1.0)
        return Series((self._first + skip) * MINUTE_S, MINUTE_S, values, known)

    def known_span_s(self) -> tuple[float, float] | None:
        """Return the beginning of the first and the end of the last known minute."""
        if self._oldest is None or self._oldest < self._first:
            known = np.flatnonzero(self._seconds[: self._count] >= KNOWN_SHARE * MINUTE_S)
            if known.size == 0:
                return None
            self._oldest = self._first + int(known[0])
        last = self._count - 1
        while self._seconds[last] < KNOWN_SHARE * MINUTE_S:
            last -= 1
        return self._oldest * MINUTE_S, (self._first + last + 1) * MINUTE_S

    def _reach(self, first: int, last: int) -> None:
        """Make room for the minutes first..last; minutes beyond the span are forgotten at the old end."""
        if self._count == 0:
            self._first = first
        first = max(first, max(last, self._first + self._count - 1) - self._span + 1)
        if first < self._first:
            self._move(self._first - first)
        count = last - self._first + 1
        if count > self._span + self._span // 4:
            self._move(self._span - count)
            count = last - self._first + 1
        if count > len(self._amount):
            room = np.zeros(max(2 * len(self._amount), count) - len(self._amount))
            self._amount, self._seconds = (np.concatenate((a, room)) for a in (self._amount, self._seconds))
        self._count = max(self._count, count)

    def _move(self, by: int) -> None:
        """Shift the grid to begin `by` minutes earlier, or later where negative, dropping what falls off."""
        self._amount, self._seconds = _shifted(self._amount, by), _shifted(self._seconds, by)
        self._count = max(self._count + by, 0)
        self._first -= by


def _shifted(array: Floats, by: int) -> Floats:
    if by >= 0:
        return np.concatenate((np.zeros(by), array))
    kept = array[-by:]
    return np.concatenate((kept, np.zeros(256))) if len(kept) < 256 else kept.copy()
