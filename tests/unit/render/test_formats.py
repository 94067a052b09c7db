import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.render.formats import brief, number, percent, plural, seconds, sentence, share, words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.0042, "4.2 ms"),
        (0.2123, "212 ms"),
        (0.9999, "1 s"),
        (1.944, "1.94 s"),
        (300, "5 min"),
        (5400, "1 h 30 min"),
    ],
)
def test_a_latency_carries_the_unit_that_a_reader_expects(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1.0, "100.00 %"),
        (0.99996, "99.99 %"),
        (0.98999, "98.99 %"),
        (0.29, "29.00 %"),
        (0, "0.00 %"),
    ],
)
def test_a_share_is_cut_so_that_no_miss_is_rounded_away(value: float | None, text: str) -> None:
    assert share(value) == text


@given(st.floats(0, 1))
def test_a_share_never_reads_better_than_it_is(value: float) -> None:
    # One part in 10^8 is what undoing binary noise may add.
    assert float(share(value).removesuffix(" %")) / 100 <= value + 1e-8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234.4), "1,234"),
        (number(62.44), "62.4"),
        (number(None), "-"),
        (brief(8000), "8k"),
        (brief(999_900), "1M"),
        (brief(1_440_000), "1.44M"),
        (percent(-0.384), "38 %"),
        (percent(0.0512), "5.1 %"),
        (plural(1, "replica"), "1 replica"),
        (plural(3, "replica"), "3 replicas"),
        (words([]), "none"),
        (words(["a"]), "a"),
        (words(["a", "b", "c"]), "a, b and c"),
        (sentence("decode 4: held"), "Decode 4: held."),
        (sentence("why?"), "Why?"),
        (sentence(" "), ""),
    ],
)
def test_figures_and_words_read_as_prose_does(text: str, expected: str) -> None:
    assert text == expected
