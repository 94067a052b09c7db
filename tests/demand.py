"""Build demand series: synthetic traffic of known shape, and recorded weeks scaled to a fleet's size."""

import csv
import gzip
from collections.abc import Mapping

import numpy as np

from models.observation import ClassDemand, Observation
from models.series import Floats, Series
from models.values import Signal
from tests.components import trace

# A Sunday, 00:00 UTC.
SUNDAY_S = 1_715_472_000.0
DAY_S = 86_400.0
MINUTES_PER_DAY = 1440


def arrivals(rate_rps: Floats, seed: int = 0) -> Floats:
    """Draw Poisson arrivals per minute at a rate per second; NaN stays NaN."""
    drawn = np.random.default_rng(seed).poisson(np.nan_to_num(rate_rps) * 60.0) / 60.0
    return np.where(np.isnan(rate_rps), np.nan, drawn)


def diurnal(days: float, mean_rps: float = 20.0, swing: float = 0.6, seed: int = 0) -> Series:
    """Make traffic that peaks once a day, with Poisson noise."""
    hours = np.arange(round(days * MINUTES_PER_DAY)) / 60.0
    rate = mean_rps * (1.0 + swing * np.sin(2 * np.pi * (hours - 9.0) / 24.0))
    return Series.of(arrivals(rate, seed), SUNDAY_S)


def nightly_batch(days: float, day_rps: float = 20.0, night_rps: float = 300.0, seed: int = 0) -> Series:
    """Make a class that jumps at 22:00 and back at 05:00 every day."""
    hours = np.arange(round(days * MINUTES_PER_DAY)) / 60.0 % 24.0
    rate = np.where((hours >= 22.0) | (hours < 5.0), night_rps, day_rps)
    return Series.of(arrivals(rate, seed), SUNDAY_S)


def flat(days: float, rps: float) -> Series:
    """Make traffic without any noise."""
    return Series.of(np.full(round(days * MINUTES_PER_DAY), rps), SUNDAY_S)


def with_gap(series: Series, from_minute: int, minutes: int) -> Series:
    """Forget a stretch of a series."""
    known = series.known.copy()
    known[from_minute : from_minute + minutes] = False
    return Series(series.start_s, series.step_s, series.values, known)


def changed(series: Series, from_minute: int, minutes: int, ratio: float) -> Series:
    """Multiply a stretch of a series."""
    values = series.values.copy()
    values[from_minute : from_minute + minutes] *= ratio
    return Series(series.start_s, series.step_s, values, series.known)


def conversation_week(mean_rps: float = 20.0) -> Series:
    """Return the recorded week of azure_llm_2024_conv: its shape at `mean_rps`, arrivals drawn anew."""
    counts = recorded_minutes("azure_llm_2024_conv_week_1min.csv.gz", "req_per_min")
    return Series.of(arrivals(counts / counts.mean() * mean_rps), SUNDAY_S)


def two_real_weeks(mean_rps: float = 20.0) -> Series:
    """Return the fortnight of servegen_m-small scaled the same way; its empty windows are gaps."""
    counts = recorded_minutes("servegen_m-small_1min_synth.csv.gz", "req")
    counts[counts <= 0] = np.nan
    return Series.of(arrivals(counts / np.nanmean(counts) * mean_rps), SUNDAY_S)


def seen(at_s: float, rps: float | None, window_s: float = 60.0, name: str = "chat") -> Observation:
    """Observe one class whose three signals have the same value."""
    demand: Mapping[str, ClassDemand] = {name: ClassDemand(rps, rps, rps)}
    return Observation(at_s, window_s, demand, {}, demand_at_s=at_s)


def everywhere(series: Series, name: str = "chat") -> dict[str, dict[Signal, Series]]:
    """Give every signal of a class the same past."""
    return {name: dict.fromkeys(Signal, series)}


def recorded_minutes(name: str, column: str) -> Floats:
    """Return one column of a recorded trace, a value a minute."""
    with gzip.open(trace(name), "rt", newline="") as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])
