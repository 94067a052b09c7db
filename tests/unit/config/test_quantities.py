"""Quantities read as a person means them and write back as the same number."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.quantities import read_count, read_duration, read_share, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("90s", 90.0), ("2m", 120.0), ("1h30m", 5400.0), ("7d", 604_800.0), (" 1.5 S ", 1.5)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "300ms"),
        (0.0005, "0.5ms"),
        (1.5, "1.5s"),
        (90.0, "90s"),
        (120.0, "2m"),
        (5400.0, "90m"),
        (7200.0, "2h"),
        (604_800.0, "7d"),
        (1e9, "1000000000s"),
    ],
)
def test_a_duration_is_written_with_the_unit_that_a_reader_expects(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(st.floats(min_value=1e-9, max_value=3e7).map(lambda s: round(s, 9)).filter(bool))
def test_a_duration_that_is_written_reads_as_the_same_number(seconds: float) -> None:
    assert read_duration(write_duration(seconds)) == seconds


@given(st.integers(min_value=1, max_value=10**7))
def test_the_unit_makes_no_difference(milliseconds: int) -> None:
    assert read_duration(f"{milliseconds}ms") == read_duration(f"{milliseconds / 1000:.3f}s")


@pytest.mark.parametrize(
    ("value", "count"), [(40, 40), ("40", 40), ("8k", 8000), ("1.5M", 1_500_000), (3.0, 3)]
)
def test_a_count_is_read_with_or_without_a_suffix(value: object, count: int) -> None:
    assert read_count(value) == count


@pytest.mark.parametrize(
    ("value", "share"), [(0.99, 0.99), ("99%", 0.99), ("0.5", 0.5), ("99.9 %", 0.999), (1, 1.0)]
)
def test_a_share_is_read_as_ratio_or_percentage(value: object, share: float) -> None:
    assert read_share(value) == share


@pytest.mark.parametrize("value", [True, None, [], {}, Path("x"), "", "x", "1,5", "0.5", "0.0005k"])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"count|whole number"):
        read_count(value)


@pytest.mark.parametrize("value", [False, None, [], "", "x", "-1%", "101%", 1.01, float("nan")])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="share"):
        read_share(value)


@pytest.mark.parametrize(
    "value", [True, None, [], 0, 1.5, "", "s", "5 fortnights", "-1s", "0ms", "0.0000000001s"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        read_duration(value)
