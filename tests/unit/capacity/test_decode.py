"""Check the decode batch that a load settles at."""

import numpy as np
import pytest

from models.capacity.decode import DecodeCurve, Sharing, decode_curve, peakedness
from models.mix import RequestMix
from models.values import Router
from tests.builders import EMAIL_MIX, PAGES_MIX, decode_layout

RANDOM = Sharing(np.ones(()))


def curve() -> DecodeCurve:
    return DecodeCurve(decode_layout(), 1000.0, 1000.0)


@pytest.mark.parametrize("tokens_per_s", [50.0, 2000.0, 20_000.0, 50_000.0])
def test_the_batch_satisfies_its_fixed_point(tokens_per_s: float) -> None:
    cut = curve()
    state = cut.settle(tokens_per_s, RANDOM)
    assert state.stable
    # A token is made in a batch of one more than there are on average (Kelly 1979).
    assert state.seen == pytest.approx(state.batch + 1.0)
    assert state.batch == pytest.approx(tokens_per_s * cut.at(float(state.seen)), rel=1e-6)


def test_a_batch_that_is_nearly_empty_runs_at_the_speed_of_one() -> None:
    cut = curve()
    assert cut.settle(1.0, RANDOM).batch == pytest.approx(cut.at(1.0), rel=1e-4)
    assert cut.settle(1.0, cut.sharing(Router.LOAD, np.array(8.0), 1.0)).seen == pytest.approx(1.0, abs=0.01)


def test_more_tokens_than_the_largest_batch_can_emit_are_not_stable() -> None:
    cut = curve()
    most = cut.limit / cut.at(cut.limit)
    assert cut.settle(most * 0.999, RANDOM).stable
    assert not cut.settle(most * 1.001, RANDOM).stable


def test_the_batch_is_over_dispersed_by_the_feedback_of_itl() -> None:
    state = curve().settle(20_000.0, RANDOM)
    assert state.spread**2 == pytest.approx(state.batch / (1.0 - state.gain))
    assert state.gain > 0.2


def test_a_balancing_router_narrows_the_batch() -> None:
    cut, four = curve(), np.array(4.0)
    wide, narrow = (cut.settle(20_000.0, cut.sharing(r, four, 1.0)) for r in (Router.RANDOM, Router.LOAD))
    # Equal lengths: a quarter of the variance, of a batch that is a little smaller.
    assert narrow.spread == pytest.approx(wide.spread / 2, rel=0.01)
    assert narrow.batch < wide.batch


def test_different_lengths_leave_a_balancing_router_batches_that_differ() -> None:
    equal, different = (
        decode_curve(decode_layout(), [(1.0, mix)])
        for mix in (RequestMix.constant(1000, 300), RequestMix.from_samples([100, 300, 900, 2700], [300] * 4))
    )
    spreads = [
        c.settle(20_000.0, c.sharing(Router.LOAD, np.array(16.0), 1.0)).spread for c in (equal, different)
    ]
    assert spreads[1] > 1.5 * spreads[0]


def test_even_arrivals_narrow_batches_of_equal_answers_most() -> None:
    equal, different = (
        decode_curve(decode_layout(), [(1.0, mix)])
        for mix in (RequestMix.constant(1000, 300), RequestMix.from_samples([1000] * 4, [30, 90, 270, 810]))
    )
    # Sixteen replicas in turn: Ca^2 = 1/16, of which equal holding times leave 1/16 and others more.
    pooled = [float(c.sharing(Router.ROUND_ROBIN, np.array(16.0), 1.0).pooled) for c in (equal, different)]
    assert pooled[0] == pytest.approx(1 / 16, abs=1e-6)
    assert 0.3 < pooled[1] < 0.7


def test_long_contexts_make_the_kv_cache_the_limit() -> None:
    cut = DecodeCurve(decode_layout(), 16_000.0, 16_000.0)
    assert cut.kv_bound
    assert cut.limit == pytest.approx(8e6 / 16_000)


def test_the_context_of_a_batch_is_length_biased() -> None:
    mix = RequestMix.merge([(1.0, RequestMix.constant(100, 10)), (1.0, RequestMix.constant(100, 1000))])
    # (E[ISL*OSL] + E[OSL^2]/2) / E[OSL] with half of each.
    expected = (100 * 505 + (10**2 + 1000**2) / 4) / 505
    assert mix.decode_context_tokens == pytest.approx(expected)
    assert mix.decode_context_tokens > 100 + 505 / 2


def test_a_blend_weighs_contexts_by_tokens_not_by_requests() -> None:
    blended = decode_curve(decode_layout(), [(100.0, PAGES_MIX), (100.0, EMAIL_MIX)])
    alone = decode_curve(decode_layout(), [(100.0, EMAIL_MIX)])
    # Pages hold 8,000 tokens for 50 steps, mails 600 for 700: the mean is (50*8025 + 700*950) / 750 = 1,422.
    assert blended.at(1.0) == pytest.approx(0.0019 + 0.000013 + 1421.67 * 2e-9, rel=1e-6)
    assert alone.at(1.0) < blended.at(1.0)


@pytest.mark.parametrize(
    ("cv2", "together", "expected"), [(1.0, 0.5, 1.0), (3.0, 0.5, 2.0), (0.0, 0.5, 0.5), (3.0, 1.0, 3.0)]
)
def test_peakedness_of_poisson_is_one(cv2: float, together: float, expected: float) -> None:
    assert peakedness(cv2, together) == expected
