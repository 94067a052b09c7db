"""Tell outages that were recorded as zeros from demand that was zero, and make gaps of them.

An exporter, a gateway or a collector that was down often says 0. Steps of exactly zero are an outage where
the demand just before, and the same hours of other days, leave them a probability below one in a million:
the scatter of the day around them says how many independent arrivals a demand is worth (quasi-Poisson,
Wedderburn 1974: variance = noise * mean), and n arrivals expected are all missed with probability exp(-n).
Steps at which other days are at zero too are zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_S
from models.forecast.base import steps_in
from models.forecast.moving import Steps
from models.series import Flags, Floats, Series

# -log of the probability under which zeros are not believed.
SURE = 13.8
# Zeros that still go on are believed after an hour, and so are those of the first day, which nothing can be
# compared with. Of 12 outages that ServeGen's m-small recorded as zeros in a fortnight 11 were shorter, one
# took 70 minutes. To hold a fleet for an hour after a real stop costs an hour of it; to release it in an
# outage costs the promises to all who come back.
BELIEVED_S = 3600.0
# What is over may have been longer, up to a long night; a holiday or a service that was switched off is real.
LONGEST_S = 16 * 3600.0
# Days before and after whose same hours are compared, and weeks: the usual demand is the lower of the two
# medians, so that neither a class that rests on Sundays nor one that has slept for four nights is doubted.
DAYS = 7
WEEKS = 3
# The level before is the lowest of two means and of where the last steps lead, and nothing where they lead to
# less than a quarter: neither a spike nor a demand that fades away makes zeros implausible.
LEVELS_S = (600.0, 3600.0)
FADED_RATIO = 0.25
LEVEL_STEPS = 5
LEAST_STEPS = 3
# Noise is at least this share of the mean demand: a smooth curve that touches zero is no outage.
LEAST_NOISE_RATIO = 0.01
# Steps that differ by no more are one that was held, but for rounding.
EQUAL_RATIO = 1e-6
# A step beside an outage below this share of its other neighbour was cut in two by it.
CUT_RATIO = 0.5
# Where zeros out of the blue are more than this share of all steps, and more than twice, they are the demand.
COMMON_RATIO = 0.1
FEW = 2


@dataclass(frozen=True, slots=True)
class Habit:
    """Hold what ticks need to doubt the zeros of the latest steps: the usual day, and the noise of demand.

    `usual` are the demands of a day of steps from `start_s` on, NaN where no other day is known; `believing`
    where zeros come and go so often that they are demand.
    """

    start_s: float
    usual: Floats
    noise: float
    believing: bool

    def without_outages(self, recent: Series) -> Series:
        """Return the latest steps with outages as gaps."""
        zeros = np.flatnonzero(recent.known & (recent.values == 0))
        if self.believing or zeros.size == 0:
            return recent
        since = round((recent.start_s - self.start_s) / recent.step_s)
        found = _Search.of(recent, zeros, self.usual[(since + zeros) % len(self.usual)], self.noise).outages()
        return _unknown(recent, found)


def without_outages(series: Series) -> tuple[Series, Habit]:
    """Return a history with outages as gaps, and what it teaches about the zeros to come."""
    found, common = np.zeros(0, dtype=np.intp), False
    zeros = np.flatnonzero(series.known & (series.values == 0))
    if zeros.size:
        usual, noise = _usual(series, zeros, both_ways=True), _Noise.of(series)
        found = _Search.of(series, zeros, usual, noise).outages()
        if found.size:
            # Several outages in a day look like noise themselves; those that were found no longer do.
            found = _Search.of(series, zeros, usual, _Noise.of(_unknown(series, found))).outages()
        common = (
            found.size > COMMON_RATIO * int(series.known.sum()) and int((np.diff(found) > 1).sum()) >= FEW
        )
    heard = series if common else _unknown(series, found)
    day = steps_in(DAY_S, series.step_s)
    ahead = np.arange(len(series), len(series) + day)
    end = np.array([len(series)])
    noise_ahead = float(_Noise.of(heard).around(end, end)[0])
    return heard, Habit(series.end_s, _usual(heard, ahead, both_ways=False), noise_ahead, common)


@dataclass(frozen=True, slots=True)
class _Noise:
    """Hold running sums of squared deviations from the neighbours, and of demand, shape (steps + 1,)."""

    squares: Floats
    total: Floats
    day: int
    least: float

    @classmethod
    def of(cls, series: Series) -> "_Noise":
        """Sum up; only steps whose neighbours are both known say how demand scatters.

        Equal steps in a row count as one of their length: history that was read back at five minutes is held
        over each of them, and would look 37 times as even as it is.
        """
        values, known = series.values, series.known
        squares, level = np.zeros(len(series)), np.zeros(len(series))
        moved = np.abs(np.diff(values)) > EQUAL_RATIO * np.maximum(values[1:], values[:-1])
        moved |= known[1:] != known[:-1]
        starts = np.flatnonzero(np.append(True, moved)[: len(values)])
        if len(starts) >= 3:
            length = np.diff(np.append(starts, len(values)))
            a, b, c = values[starts[:-2]], values[starts[1:-1]], values[starts[2:]]
            m, n, o = length[:-2], length[1:-1], length[2:]
            all_known = known[starts[:-2]] & known[starts[1:-1]] & known[starts[2:]]
            # The variance of b - (a + c) / 2 over that of one step, 3/2 where all lengths are 1.
            variances = 1 / n + 1 / (4 * m) + 1 / (4 * o)
            squares[starts[1:-1]] = np.where(all_known, (b - (a + c) / 2) ** 2 / variances, 0.0)
            level[starts[1:-1]] = np.where(all_known, (m * a + n * b + o * c) / (m + n + o), 0.0)
        demand = series.known_values
        return cls(
            np.concatenate(([0.0], np.cumsum(squares))),
            np.concatenate(([0.0], np.cumsum(level))),
            steps_in(DAY_S, series.step_s),
            max(LEAST_NOISE_RATIO * float(demand.mean()) if demand.size else 0.0, 1e-300),
        )

    def around(self, begin: Steps, end: Steps) -> Floats:
        """Return variance over mean in the day before each `begin` and the day after each `end`."""
        size = len(self.total) - 1
        squares, total = np.zeros(len(begin)), np.zeros(len(begin))
        # The steps at the edges deviate because of the outage, not by chance.
        for first, last in ((begin - self.day, begin - 1), (end + 1, end + self.day)):
            low, high = np.clip(first, 0, size), np.clip(last, 0, size)
            squares += np.maximum(self.squares[high] - self.squares[low], 0.0) * (high > low)
            total += np.maximum(self.total[high] - self.total[low], 0.0) * (high > low)
        return np.maximum(squares / np.where(total > 0, total, 1.0), self.least)


@dataclass(frozen=True, slots=True)
class _Search:
    """Hold the known steps of a series in order, their demand, and what is usual at those that are zero."""

    at: Steps
    values: Floats
    usual: Floats
    noise: _Noise | float
    step_s: float

    @classmethod
    def of(cls, series: Series, zeros: Steps, usual: Floats, noise: "_Noise | float") -> "_Search":
        """Lay out the known steps."""
        expected = np.zeros(len(series))
        expected[zeros] = usual
        at = np.flatnonzero(series.known)
        return cls(at, series.values[at], expected[at], noise, series.step_s)

    def outages(self) -> Steps:
        """Return the steps that are outages, cut ones beside them included."""
        out = np.zeros(len(self.at), dtype=np.bool_)
        for begin, end, noise in self._candidates():
            level = self._level(out, begin, end)
            usual = self.usual[begin:end]
            lost = np.where(np.isnan(usual), level, np.minimum(usual, level))
            if lost.sum() / noise >= SURE:
                out[begin:end] = True
                self._cut(out, begin, end, level)
        return self.at[out]

    def _candidates(self) -> Iterator[tuple[int, int, float]]:
        """Yield begin, end and noise of runs of zeros that are unusual and short enough to be doubted."""
        unusual = (self.values == 0) & (np.isnan(self.usual) | (self.usual > 0))
        edge = np.diff(np.concatenate(([False], unusual, [False])).astype(np.int8))
        begins, ends = np.flatnonzero(edge > 0), np.flatnonzero(edge < 0)
        if begins.size == 0:
            return
        first, last = self.at[begins], self.at[ends - 1] + 1
        length_s = (last - first) * self.step_s
        strange = np.add.reduceat(np.append(np.isnan(self.usual) & unusual, False), begins) > 0
        over = (ends < len(self.at)) & ~strange
        noise = (
            self.noise.around(first, last)
            if isinstance(self.noise, _Noise)
            else np.full(len(begins), self.noise)
        )
        usual = np.append(np.where(unusual, np.nan_to_num(self.usual), 0.0), 0.0)
        most = np.concatenate(([0.0], np.cumsum(usual)))
        enough = strange | ((most[ends] - most[begins]) / noise >= SURE)
        short = length_s <= np.where(over, LONGEST_S, BELIEVED_S) + 1e-6
        for i in np.flatnonzero(enough & short):
            yield int(begins[i]), int(ends[i]), float(noise[i])

    def _level(self, out: Flags, begin: int, end: int) -> float:
        """Return demand before a run, outages left out; where nothing is known, that after it; else 0."""
        before = np.flatnonzero(~out[:begin])
        before = before[(self.at[begin] - self.at[before]) * self.step_s <= DAY_S]
        beside = before[::-1] if before.size >= LEAST_STEPS else np.arange(end, len(self.at))
        if beside.size == 0:
            return 0.0
        values = self.values[beside]
        means = [float(values[: max(round(s / self.step_s), LEVEL_STEPS)].mean()) for s in LEVELS_S]
        if values.size < 2 * LEVEL_STEPS:
            return min(means)
        late, early = (np.median(part) for part in (values[:LEVEL_STEPS], values[LEVEL_STEPS:][:LEVEL_STEPS]))
        leads = float(2 * late - early)
        return min(*means, leads) if leads >= FADED_RATIO * min(means) else 0.0

    def _cut(self, out: Flags, begin: int, end: int, level: float) -> None:
        """Mark the steps beside an outage that it took a part of."""
        if begin > 0 and self.values[begin - 1] < CUT_RATIO * level:
            out[begin - 1] = True
        if end < len(self.at):
            after = self.values[end + 1] if end + 1 < len(self.at) else level
            if self.values[end] < CUT_RATIO * after:
                out[end] = True


def _usual(series: Series, at: Steps, both_ways: bool) -> Floats:
    """Return the lower of the medians of the days and of the weeks beside steps; NaN where none is known."""
    day = steps_in(DAY_S, series.step_s)
    ways = (1, -1) if both_ways else (1,)
    by_day = _median_of([day * way * k for k in range(1, DAYS + 1) for way in ways], series, at)
    by_week = _median_of([7 * day * way * k for k in range(1, WEEKS + 1) for way in ways], series, at)
    return np.fmin(by_day, by_week)


def _median_of(lags: list[int], series: Series, at: Steps) -> Floats:
    """Return the lower median of what is known that many steps before; NaN where nothing is."""
    where = at[:, None] - np.array(lags)
    inside = (where >= 0) & (where < len(series))
    where = np.clip(where, 0, max(len(series) - 1, 0))
    if len(series) == 0:
        return np.full(len(at), np.nan)
    known = inside & series.known[where]
    ranked = np.sort(np.where(known, series.values[where], np.inf), axis=1)
    count = known.sum(axis=1)
    middle = ranked[np.arange(len(at)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, np.nan)


def _unknown(series: Series, steps: NDArray[np.intp]) -> Series:
    if steps.size == 0:
        return series
    known = series.known.copy()
    known[steps] = False
    return Series(series.start_s, series.step_s, series.values, known)
