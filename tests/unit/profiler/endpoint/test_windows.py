"""The time per token is read only while every stream decodes, and by tokens, whatever pieces they come in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.measure.endpoint.stream import Stream
from profiler.measure.endpoint.windows import most_together, stagger_tokens, window


def stream(first_s: float, tokens: int, itl_s: float = 0.01, per_piece: int = 1, prompt: int = 100) -> Stream:
    """Make a stream whose engine emits a token every `itl_s` and sends them in pieces."""
    counts = [*range(per_piece, tokens, per_piece), tokens]
    times = [first_s + (count - 1) * itl_s for count in counts]
    return Stream(0.0, tuple(times), tuple(map(float, counts)), prompt, None, True)


def test_a_lone_stream_is_read_from_its_first_tokens_on() -> None:
    found = window([stream(1.0, tokens=40)], tokens=32)

    assert found is not None
    assert found.itl_s == pytest.approx([0.01] * 4)
    # Two tokens settle, the window's middle is 16 tokens behind them.
    assert found.context_tokens == pytest.approx(100 + 1 + 2 + 16, abs=1)


@given(
    per_piece=st.integers(1, 6),
    itl_s=st.floats(0.001, 0.2),
    starts=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=8),
)
def test_pieces_of_any_size_give_the_same_time_per_token(
    per_piece: int, itl_s: float, starts: list[float]
) -> None:
    # Starts are staggered by up to 10 tokens.
    found = window([stream(1.0 + start * itl_s, 60, itl_s, per_piece) for start in starts], tokens=32)

    assert found is not None
    assert found.itl_s == pytest.approx([itl_s] * len(found.itl_s))


def test_times_before_the_last_prompt_was_read_do_not_count() -> None:
    # The first stream has the engine to itself for a second at half the time per token.
    early = [1.0 + 0.005 * i for i in range(200)] + [2.0 + 0.01 * i for i in range(1, 60)]
    first = Stream(0.0, tuple(early), tuple(float(i + 1) for i in range(len(early))), 100, None, True)

    found = window([first, stream(2.0, 60)], tokens=32)

    assert found is not None
    assert found.itl_s == pytest.approx([0.01] * 4)
    assert stagger_tokens([first, stream(2.0, 60)]) == pytest.approx(200, abs=1)
    # One stream is 200 tokens ahead of the other.
    assert found.context_tokens == pytest.approx(100 + 19 + 100, abs=2)


def test_streams_that_never_decode_together_have_no_window() -> None:
    apart = [stream(0.0, 10), stream(1.0, 10)]

    assert window(apart, tokens=16) is None
    assert most_together(apart) == 1
    assert most_together([*apart, stream(0.05, 10)]) == 2


def test_a_context_that_grows_does_not_count_as_noise() -> None:
    times, at = [], 1.0
    for i in range(70):
        times.append(at)
        at += 0.010 + 0.00001 * i
    grown = Stream(0.0, tuple(times), tuple(float(i + 1) for i in range(70)), 100, None, True)

    found = window([grown], tokens=64)

    assert found is not None
    # The first and the last stretch of 8 tokens differ by 56 times the growth per token.
    assert max(found.itl_s) - min(found.itl_s) < 0.1 * 56 * 0.00001
    assert math.fsum(found.itl_s) / len(found.itl_s) == pytest.approx(0.010 + 0.00001 * 35, rel=0.01)
