"""Generate the e-commerce day: product pages, a Black-Friday surge, a night of e-mail, then quiet.

A full day of this story is some 16 million requests, too many to replay while somebody watches. GPU counts
are only meaningful at real rates and real latencies, so neither is scaled. Time is: `day_s` is how long a
story day lasts in the simulation. With `day_s = 7,200` each story minute is represented by 5 seconds of
traffic at its true rate. What is slow against a request (rates, ticks, start-up, drain) is compressed by the
same factor, what a request feels (queue, prefill, decode) is not. Three things are distorted, and a report
must say so: a backlog has 1/compression of the time to build up and to drain; requests that stay for long
against a compressed minute smear over more story time than they would; and a minute's demand is counted on
fewer requests, which makes it noisier by the root of the compression (the history is sampled alike).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.series import Floats, Series
from models.simulation.workload import Workload
from models.values import Signal

REAL_DAY_S = 86_400.0
_MINUTE_S = 60.0
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """Describe request lengths in tokens: log-normal with these means and coefficients of variation."""

    isl_tokens: float
    osl_tokens: float
    isl_cv: float
    osl_cv: float

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw lengths of `count` requests, shape (count,) each, at least one token."""
        return (
            _log_normal(self.isl_tokens, self.isl_cv, count, rng),
            _log_normal(self.osl_tokens, self.osl_cv, count, rng),
        )


@dataclass(frozen=True, slots=True)
class Story:
    """Describe the day in story time: hours are hours of the clock, rates requests per second, times UTC.

    Pages follow the clock from `pages_trough_rps` at night to `pages_peak_rps` at `peak_h`. Between
    `surge_from_h` and `surge_until_h` of the first day they are multiplied by `surge_ratio`, with ramps of
    `surge_ramp_s`. E-mail runs at `email_day_rps` by day, at `email_night_rps` from `email_from_h` until
    `email_until_h` of the next morning, and rests until `email_day_from_h`.
    """

    start_s: float = 1_795_759_200.0  # Friday 27 November 2026, 06:00 UTC
    hours: float = 26.0
    day_s: float = REAL_DAY_S
    pages: str = "pages"
    email: str = "email"
    pages_trough_rps: float = 12.0
    pages_peak_rps: float = 180.0
    peak_h: float = 15.0
    half_day_h: float = 8.5
    surge_ratio: float = 1.5
    surge_from_h: float = 13.0
    surge_until_h: float = 17.0
    surge_ramp_s: float = 1200.0
    email_day_rps: float = 20.0
    email_night_rps: float = 300.0
    email_from_h: float = 22.0
    email_until_h: float = 5.0
    email_day_from_h: float = 8.0
    pages_lengths: Lengths = Lengths(8000.0, 50.0, 0.1, 0.2)
    email_lengths: Lengths = Lengths(600.0, 700.0, 0.2, 0.2)
    day_variation_ratio: float = 0.04

    def __post_init__(self) -> None:
        """Refuse a story that cannot be told."""
        if not (0 < self.day_s <= REAL_DAY_S and self.hours > 0):
            raise ValueError(f"a story day lasts between 0 and {REAL_DAY_S:g} s, got {self.day_s:g}")

    @property
    def compression(self) -> float:
        """Story seconds per simulated second."""
        return REAL_DAY_S / self.day_s

    @property
    def end_s(self) -> float:
        """The moment, in story time, at which the story ends."""
        return self.start_s + self.hours * _HOUR_S

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the request classes."""
        return (self.pages, self.email)

    def rates_rps(self, times_s: Floats, surge: bool = True) -> Mapping[str, Floats]:
        """Return each class's expected rate at times of the story; `surge=False`: on ordinary days."""
        hour = times_s / _HOUR_S % 24.0
        away_h = np.abs((hour - self.peak_h + 12.0) % 24.0 - 12.0)
        shape = np.where(away_h < self.half_day_h, np.cos(np.pi / 2 * away_h / self.half_day_h) ** 2, 0.0)
        pages = self.pages_trough_rps + (self.pages_peak_rps - self.pages_trough_rps) * shape
        if surge:
            midnight_s = self.start_s - self.start_s % REAL_DAY_S
            since_s = times_s - (midnight_s + self.surge_from_h * _HOUR_S)
            left_s = midnight_s + self.surge_until_h * _HOUR_S - times_s
            ramp = np.clip(np.minimum(since_s, left_s) / self.surge_ramp_s, 0.0, 1.0)
            pages = pages * (1.0 + (self.surge_ratio - 1.0) * ramp)
        by_day = (hour >= self.email_day_from_h) & (hour < self.email_from_h)
        by_night = (hour >= self.email_from_h) | (hour < self.email_until_h)
        email = np.where(by_night, self.email_night_rps, np.where(by_day, self.email_day_rps, 0.0))
        return {self.pages: pages, self.email: email}

    def workload(self, seed: int = 0) -> Workload:
        """Generate the requests: Poisson arrivals, in simulated time from `start_s` on."""
        minutes_s = np.arange(self.start_s, self.end_s, _MINUTE_S)
        step_s = _MINUTE_S / self.compression
        parts = []
        for number, (name, rates) in enumerate(self.rates_rps(minutes_s + _MINUTE_S / 2).items()):
            rng = np.random.default_rng([seed, 1, number])
            counts = rng.poisson(rates * step_s)
            total = int(counts.sum())
            begins = self.start_s + step_s * np.arange(minutes_s.size)
            times = np.repeat(begins, counts) + rng.random(total) * step_s
            isl, osl = self._lengths(name).sample(total, rng)
            parts.append(Workload.of(times, np.rint(isl), np.rint(osl), class_names=(name,)))
        return Workload.merge(parts)

    def history(self, days: int = 7, seed: int = 0) -> Mapping[str, Mapping[Signal, Series]]:
        """Generate what was measured per minute on the ordinary days before, in units per second.

        Each day as a whole is a little busier or quieter than the next; counts and lengths are sampled, on
        as many requests a minute as the story itself has.
        """
        begin_s = self.start_s - days * REAL_DAY_S
        minutes_s = np.arange(begin_s, self.start_s, _MINUTE_S)
        step_s = _MINUTE_S / self.compression
        day = ((minutes_s - begin_s) // REAL_DAY_S).astype(np.intp)
        found: dict[str, Mapping[Signal, Series]] = {}
        ordinary = self.rates_rps(minutes_s + _MINUTE_S / 2, surge=False)
        for number, (name, rates) in enumerate(ordinary.items()):
            rng = np.random.default_rng([seed, 2, number])
            level = np.exp(rng.normal(0.0, self.day_variation_ratio, days))[day]
            counts = rng.poisson(rates * level * step_s).astype(np.float64)
            lengths = self._lengths(name)
            tokens = {
                Signal.ARRIVALS: counts,
                Signal.PREFILL_TOKENS: _sum_of(counts, lengths.isl_tokens, lengths.isl_cv, rng),
                Signal.DECODE_TOKENS: _sum_of(counts, lengths.osl_tokens, lengths.osl_cv, rng),
            }
            found[name] = {
                signal: Series.of(values / step_s, begin_s, _MINUTE_S) for signal, values in tokens.items()
            }
        return found

    def _lengths(self, name: str) -> Lengths:
        return self.pages_lengths if name == self.pages else self.email_lengths


def _log_normal(mean: float, cv: float, count: int, rng: np.random.Generator) -> Floats:
    sigma = np.sqrt(np.log1p(cv**2))
    return np.maximum(mean * np.exp(rng.normal(-(sigma**2) / 2, sigma, count)), 1.0)


def _sum_of(counts: Floats, mean: float, cv: float, rng: np.random.Generator) -> Floats:
    """Draw the sum of `counts` lengths, by the central limit."""
    return np.maximum(counts * mean + np.sqrt(counts) * mean * cv * rng.normal(size=counts.size), 0.0)
