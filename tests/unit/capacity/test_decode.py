"""Check the decode batch that a load settles at."""

import pytest

from models.capacity.decode import DecodeCurve, decode_curve, peakedness
from models.mix import RequestMix
from tests.builders import EMAIL_MIX, PAGES_MIX, decode_layout


def curve() -> DecodeCurve:
    return DecodeCurve(decode_layout(), 1000.0, 1000.0)


@pytest.mark.parametrize("tokens_per_s", [50.0, 2000.0, 20_000.0, 50_000.0])
def test_the_batch_satisfies_its_fixed_point(tokens_per_s: float) -> None:
    cut = curve()
    state = cut.settle(tokens_per_s, 1.0)
    assert state.stable
    assert state.batch == pytest.approx(tokens_per_s * cut.at(float(state.batch)), rel=1e-6)


def test_a_batch_under_one_runs_at_the_speed_of_one() -> None:
    cut = curve()
    assert cut.settle(1.0, 1.0).batch == pytest.approx(cut.at(1.0))


def test_more_tokens_than_the_largest_batch_can_emit_are_not_stable() -> None:
    cut = curve()
    most = cut.limit / cut.at(cut.limit)
    assert cut.settle(most * 0.999, 1.0).stable
    assert not cut.settle(most * 1.001, 1.0).stable


def test_the_batch_is_over_dispersed_by_the_feedback_of_itl() -> None:
    state = curve().settle(20_000.0, 1.0)
    assert state.spread**2 > state.batch


def test_a_balancing_router_narrows_the_batch() -> None:
    wide, narrow = curve().settle(20_000.0, 1.0), curve().settle(20_000.0, 1.0, sharing=4)
    assert narrow.spread == pytest.approx(wide.spread / 2)


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


@pytest.mark.parametrize(("cv2", "expected"), [(1.0, 1.0), (3.0, 2.0), (0.0, 0.5)])
def test_peakedness_of_poisson_is_one(cv2: float, expected: float) -> None:
    assert peakedness(cv2) == expected
