"""Find the smallest count that suffices, asking for many counts at once."""

from collections.abc import Callable, Sequence

# Counts that one question holds: in vectorised evaluation sixteen cost hardly more than one.
_AT_ONCE = 16
LIMIT = 65_536


def smallest(suffices: Callable[[Sequence[int]], Sequence[bool]], likely: range) -> int:
    """Return the smallest count from 1 on that suffices; counts of `likely`, not empty, are tried first.

    `suffices` answers for rising counts and must be monotone. Returns LIMIT when nothing up to it does.
    """
    low, high = 0, LIMIT + 1
    ask = _evenly(likely.start, likely[-1])
    while True:
        enough = [n for n, yes in zip(ask, suffices(ask), strict=True) if yes]
        high = min(enough, default=high)
        low = max((n for n in ask if n < high), default=low)
        if high - low <= 1 or low >= LIMIT:
            return min(high, LIMIT)
        last = high - 1 if high <= LIMIT else min(max(2 * low, low + _AT_ONCE), LIMIT)
        ask = _evenly(low + 1, last)


def _evenly(first: int, last: int) -> list[int]:
    """Return at most _AT_ONCE counts from `first` to `last`, both included."""
    count = min(last - first + 1, _AT_ONCE)
    return [first + (last - first) * i // max(count - 1, 1) for i in range(count)]
