"""Check how lengths of requests are spread."""

import numpy as np
import pytest

from models.mix import RequestMix


@pytest.mark.parametrize("shortest", [0.1, 0.8, 0.99])
def test_even_lengths_have_the_moments_of_a_uniform_draw(shortest: float) -> None:
    mix = RequestMix.evenly(1000, 500, shortest)
    isl, osl = (np.array([getattr(a, n) for a in mix.atoms]) for n in ("isl_tokens", "osl_tokens"))
    assert mix.mean_isl_tokens == pytest.approx(1000 * (1 + shortest) / 2)
    assert mix.mean_osl_tokens == pytest.approx(500 * (1 + shortest) / 2)
    # Sixteen bins hold all but 1/16^2 of the variance.
    assert isl.var() == pytest.approx((1000 * (1 - shortest)) ** 2 / 12, rel=5e-3)
    assert osl.var() == pytest.approx((500 * (1 - shortest)) ** 2 / 12, rel=5e-3)
    assert abs(np.corrcoef(isl, osl)[0, 1]) < 1e-9


def test_equal_lengths_are_one_atom_and_none_is_below_a_token() -> None:
    assert RequestMix.evenly(1000, 500, 1.0, 100) == RequestMix.constant(1000, 500, 100)
    assert min(atom.osl_tokens for atom in RequestMix.evenly(10, 1, 0.1).atoms) == 1.0


@pytest.mark.parametrize("shortest", [0.0, -0.5, 1.1])
def test_a_share_that_is_none_is_refused(shortest: float) -> None:
    with pytest.raises(ValueError, match="share above 0"):
        RequestMix.evenly(1000, 500, shortest)
