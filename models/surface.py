"""Interpolate a measured grid, and say when a reading lies outside it."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bound a rectangle of the (x, y) plane, both ends included."""

    x: tuple[float, float]
    y: tuple[float, float]

    def holds(self, x: float, y: float) -> bool:
        """Whether (x, y) lies inside."""
        return self.x[0] <= x <= self.x[1] and self.y[0] <= y <= self.y[1]


@dataclass(frozen=True, slots=True)
class Surface:
    """Hold `values_s[i][j]` seconds at `x[i]`, `y[j]`; both axes strictly rising.

    Readings are bilinear inside the grid and continue the edge cell's slope outside it, never falling:
    a latency does not shrink with more work. `relative_error` is the cross-validated error of the fit,
    0 for a surface that was computed and not measured. `band_ratio[i][j]` is the half-width of the 95 % band
    around `values_s[i][j]`, relative to it; empty where nothing is uncertain but the model itself. `bounds`
    says where the values rest on data (`None`: on the whole grid).
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    values_s: tuple[tuple[float, ...], ...]
    relative_error: float = 0.0
    band_ratio: tuple[tuple[float, ...], ...] = ()
    bounds: Bounds | None = None

    def __post_init__(self) -> None:
        """Refuse a grid that cannot be interpolated."""
        for name, axis in (("x", self.x), ("y", self.y)):
            if not axis or any(b <= a for a, b in pairwise(axis)):
                raise ValueError(f"axis {name} must rise strictly, got {axis}")
        if len(self.values_s) != len(self.x) or any(len(row) != len(self.y) for row in self.values_s):
            raise ValueError(f"values must have the shape ({len(self.x)}, {len(self.y)})")
        if not all(0 < v < float("inf") for row in self.values_s for v in row):
            raise ValueError("values must be finite and above zero seconds")
        if self.band_ratio:
            widths = [len(row) for row in self.band_ratio]
            finite = all(0 <= b < float("inf") for row in self.band_ratio for b in row)
            if widths != [len(self.y)] * len(self.x) or not finite:
                raise ValueError("band_ratio must have the shape of the values, finite and not below zero")

    @property
    def reach(self) -> Bounds:
        """The rectangle in which readings rest on data: `bounds`, or the whole grid."""
        return self.bounds or Bounds((self.x[0], self.x[-1]), (self.y[0], self.y[-1]))

    def covers(self, x: float, y: float) -> bool:
        """Whether a reading at (x, y) rests on data."""
        return self.reach.holds(x, y)

    def at(self, x: float, y: float) -> float:
        """Return the seconds at (x, y), at least a tenth of the smallest value on the grid."""
        i, u = _locate(self.x, x)
        j, v = _locate(self.y, y)
        low, high = self.values_s[i], self.values_s[min(i + 1, len(self.x) - 1)]
        k = min(j + 1, len(self.y) - 1)
        left = low[j] + (low[k] - low[j]) * v
        right = high[j] + (high[k] - high[j]) * v
        return max(left + (right - left) * u, self.values_s[0][0] * 0.1)

    def over(self, x: Floats, y: Floats) -> Floats:
        """Return the seconds at (x, y), arrays of shapes that broadcast; `at` for many."""
        xs, ys, values_s = _grid(self)
        i, u = _cells(xs, x)
        j, v = _cells(ys, y)
        k, right = np.minimum(j + 1, ys.size - 1), np.minimum(i + 1, xs.size - 1)
        low = values_s[i, j] + (values_s[i, k] - values_s[i, j]) * v
        high = values_s[right, j] + (values_s[right, k] - values_s[right, j]) * v
        read: Floats = np.maximum(low + (high - low) * u, values_s[0, 0] * 0.1)
        return read

    def across(self, x: float) -> tuple[float, ...]:
        """Return the seconds at `x` for every y of the grid, as `at` does for one."""
        i, u = _locate(self.x, x)
        low, high = self.values_s[i], self.values_s[min(i + 1, len(self.x) - 1)]
        least = self.values_s[0][0] * 0.1
        return tuple(max(left + (right - left) * u, least) for left, right in zip(low, high, strict=True))


def _locate(axis: tuple[float, ...], value: float) -> tuple[int, float]:
    """Return the cell's index and the position in it; below 0 or above 1 outside the axis."""
    last = len(axis) - 1
    if last == 0:
        return 0, 0.0
    i = min(max(bisect_right(axis, value) - 1, 0), last - 1)
    return i, (value - axis[i]) / (axis[i + 1] - axis[i])


@lru_cache(maxsize=64)
def _grid(surface: Surface) -> tuple[Floats, Floats, Floats]:
    return np.array(surface.x), np.array(surface.y), np.array(surface.values_s)


def _cells(axis: Floats, values: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the cells' indices and the positions in them, as `_locate` does for one."""
    if axis.size == 1:
        return np.zeros(values.shape, dtype=np.intp), np.zeros(values.shape)
    i = np.clip(np.searchsorted(axis, values, side="right") - 1, 0, axis.size - 2)
    return i, (values - axis[i]) / (axis[i + 1] - axis[i])
