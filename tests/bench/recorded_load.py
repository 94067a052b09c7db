"""Scale recorded minutes to a fleet's size and draw requests and histories from them.

A service of long documents stands for a fleet of many replicas that few requests a second fill. A minute
then holds as many requests as it would in production, and a day can be replayed at its true rate in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.series import Floats, Series
from models.simulation.workload import Workload
from models.values import Signal
from tests.demand import SUNDAY_S, recorded_minutes

CONVERSATION, SERVEGEN = "azure_llm_2024_conv_week_1min.csv.gz", "servegen_m-small_1min_synth.csv.gz"
MEAN_RPS, ISL, OSL, CV = 6.0, 16_000.0, 300.0, 0.4
CLASS_NAME = "documents"


@dataclass(frozen=True, slots=True)
class Minutes:
    """Hold per minute the expected rate and mean lengths, shape (minutes,); NaN where nobody measured.

    The first minute begins at `start_s` (Unix seconds).
    """

    rps: Floats
    isl_tokens: Floats
    osl_tokens: Floats
    start_s: float = SUNDAY_S


def requests(minutes: Minutes, span: slice, seed: int) -> Workload:
    """Draw the requests of some minutes."""
    start_s = minutes.start_s + 60.0 * span.start
    rng = np.random.default_rng([seed, 1])
    counts = rng.poisson(60.0 * np.nan_to_num(minutes.rps[span]))
    begins = start_s + 60.0 * np.arange(counts.size)
    times = np.repeat(begins, counts) + 60.0 * rng.random(int(counts.sum()))
    isl, osl = (
        np.repeat(np.nan_to_num(means[span], nan=1.0), counts) * _spread(times.size, rng)
        for means in (minutes.isl_tokens, minutes.osl_tokens)
    )
    # One at the very start, so that the trace begins there.
    times[:1] = start_s
    return Workload.of(
        times, np.maximum(np.rint(isl), 1), np.maximum(np.rint(osl), 1), class_names=(CLASS_NAME,)
    )


def measured(minutes: Minutes, until: int, seed: int) -> Mapping[Signal, Series]:
    """Draw what was measured in the minutes before `until`."""
    rng = np.random.default_rng([seed, 2])
    known = np.isfinite(minutes.rps[:until])
    counts = rng.poisson(60.0 * np.nan_to_num(minutes.rps[:until])).astype(np.float64)

    def total(means: Floats) -> Floats:
        """Draw the sum of a minute's lengths, by the central limit."""
        mean = np.nan_to_num(means[:until])
        return np.maximum(counts * mean + np.sqrt(counts) * mean * CV * rng.normal(size=counts.size), 0.0)

    amounts = {
        Signal.ARRIVALS: counts,
        Signal.PREFILL_TOKENS: total(minutes.isl_tokens),
        Signal.DECODE_TOKENS: total(minutes.osl_tokens),
    }
    return {s: Series(minutes.start_s, 60.0, values / 60.0, known) for s, values in amounts.items()}


def _spread(count: int, rng: np.random.Generator) -> Floats:
    """Draw log-normal factors of mean 1."""
    sigma = np.sqrt(np.log1p(CV**2))
    return np.asarray(np.exp(rng.normal(-(sigma**2) / 2, sigma, count)))


def conversation() -> Minutes:
    """Return the recorded week of azure_llm_2024_conv; its lengths were not recorded and stay the same."""
    counts = recorded_minutes(CONVERSATION, "req_per_min")
    return _scaled(counts, np.full(counts.size, ISL), np.full(counts.size, OSL))


def servegen() -> Minutes:
    """Return the fortnight of ServeGen m-small; its lengths drift as recorded, its empty windows are gaps.

    Lengths were recorded as means of ten minutes: they lie on lines between the middles of those. As steps
    every tenth minute they would jump by up to 60 % at moments that only the recording knows.
    """
    counts = recorded_minutes(SERVEGEN, "req")
    counts[counts <= 0] = np.nan
    isl, osl = (_lines(recorded_minutes(SERVEGEN, column) / counts) for column in ("pre", "dec"))
    return _scaled(counts, ISL * isl / np.mean(isl), OSL * osl / np.mean(osl))


def _lines(per_minute: Floats, window: int = 10) -> Floats:
    """Lay straight lines through the middles of windows, across those that are empty."""
    means = per_minute[window // 2 :: window]
    middles = window * np.arange(means.size) + window / 2
    known = np.isfinite(means)
    return np.asarray(np.interp(np.arange(per_minute.size) + 0.5, middles[known], means[known]))


def _scaled(counts: Floats, isl: Floats, osl: Floats) -> Minutes:
    return Minutes(counts / np.nanmean(counts) * MEAN_RPS, isl, osl)
