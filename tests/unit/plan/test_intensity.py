"""Counting noise is taken out of a forecast once, and only as much of it as there is."""

from statistics import NormalDist

import numpy as np
import pytest

from models.mix import RequestMix
from models.plan.intensity import intensities
from models.prediction import median_level

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995)
BIN_S = 60.0
ALIKE = RequestMix.constant(1000, 100)


def _bands(median_rps: float, deviation_rps: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Make the quantiles of a normal forecast, the same for all three signals of one class."""
    one = [NormalDist(median_rps, deviation_rps).inv_cdf(level) for level in LEVELS]
    return np.array([[one, one, one]])


def test_a_band_that_is_all_chance_shrinks_to_its_median() -> None:
    # 6 requests/s over a minute: 360 expected, of which the root is chance.
    counted = _bands(6.0, np.sqrt(6.0 / BIN_S))
    assert intensities(counted, [ALIKE], LEVELS, BIN_S) == pytest.approx(np.full_like(counted, 6.0), rel=1e-6)


def test_lengths_that_vary_add_chance_to_tokens_and_none_to_arrivals() -> None:
    # Half of the requests three times as long as the others: E[L^2] / E[L]^2 is 5/4.
    mixed = RequestMix.from_samples([500, 1500], [100, 300], bins=2)
    counted = _bands(6.0, np.sqrt(1.25 * 6.0 / BIN_S))
    arrivals, prefill, decode = intensities(counted, [mixed], LEVELS, BIN_S)[0]
    assert prefill == pytest.approx(np.full(7, 6.0), rel=1e-6)
    assert decode == pytest.approx(np.full(7, 6.0), rel=1e-6)
    assert arrivals[-1] - 6.0 == pytest.approx(NormalDist().inv_cdf(0.995) * np.sqrt(0.25 * 6.0 / BIN_S))


def test_the_quantiles_of_the_intensity_come_back_from_what_was_counted() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(8.0, 0.8, 400_000)
    counted = rng.poisson(truth * BIN_S) / BIN_S
    seen = np.quantile(counted, LEVELS)
    found = intensities(np.array([[seen, seen, seen]]), [ALIKE], LEVELS, BIN_S)[0, 0]
    wanted = np.quantile(truth, LEVELS)
    # Counted bands are a tenth wider; a percent of the rate covers that a Poisson count is no normal one.
    assert np.abs(seen - wanted).max() > 0.15
    assert found == pytest.approx(wanted, abs=0.08)


def test_large_rates_keep_their_bands_and_order_is_kept() -> None:
    counted = _bands(5000.0, 500.0)
    found = intensities(counted, [ALIKE], LEVELS, BIN_S)
    assert found == pytest.approx(counted, rel=2e-3)
    assert (np.diff(found[0, 0]) > 0).all()
    assert found[0, 0, median_level(LEVELS)] == counted[0, 0, median_level(LEVELS)]


def test_no_demand_stays_none() -> None:
    nothing = np.zeros((1, 3, len(LEVELS)))
    assert (intensities(nothing, [ALIKE], LEVELS, BIN_S) == 0.0).all()
