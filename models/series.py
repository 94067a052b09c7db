"""Hold a measured series on a regular time grid, with its gaps said out loud."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

# Eight years of minutes. A grid beyond it means a stray timestamp, and would take gigabytes.
MAX_STEPS = 4_200_000


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Hold one value per step: `values[i]` is the mean over [start_s + i*step_s, start_s + (i+1)*step_s).

    Times are Unix seconds, UTC. `known[i]` is False where nothing was measured, and `values[i]` is 0.0
    there: read it together with `known`. NaN and infinities given to the constructor become unknown.
    Both arrays have the shape (n,), are copied in and read-only.

    Raises ValueError for a step not above zero, a start that is not finite, or arrays of unequal length.
    """

    start_s: float
    step_s: float
    values: Floats
    known: Flags

    def __post_init__(self) -> None:
        """Check the shape, turn what is not finite into a gap and freeze the arrays."""
        if not (np.isfinite(self.start_s) and np.isfinite(self.step_s) and self.step_s > 0):
            raise ValueError(
                f"a series needs a finite start and a step above zero: {self.start_s}, {self.step_s}"
            )
        values = np.array(self.values, dtype=np.float64)
        known = np.array(self.known, dtype=np.bool_)
        if values.ndim != 1 or values.shape != known.shape:
            raise ValueError(f"values and known must be of one length, got {values.shape} and {known.shape}")
        known &= np.isfinite(values)
        values[~known] = 0.0
        values.setflags(write=False)
        known.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "known", known)

    @classmethod
    def empty(cls, step_s: float = 60.0, start_s: float = 0.0) -> Self:
        """Make a series without any step."""
        return cls(start_s, step_s, np.zeros(0), np.zeros(0, dtype=np.bool_))

    @classmethod
    def of(cls, values: ArrayLike, start_s: float = 0.0, step_s: float = 60.0) -> Self:
        """Make a series from one value per step, shape (n,); NaN marks a gap."""
        array = np.asarray(values, dtype=np.float64)
        return cls(start_s, step_s, array, np.isfinite(array))

    @classmethod
    def from_points(cls, times_s: ArrayLike, values: ArrayLike, step_s: float) -> Self:
        """Make a series from timestamped values, both of shape (n,), in any order.

        A point belongs to the step it falls in; steps begin at multiples of `step_s` since the epoch. A
        timestamp given twice is a correction: the later one in the input counts. Different times in one
        step are averaged. Points that are not finite say nothing. Steps without a point are gaps.

        Raises ValueError for unequal lengths, or times so far apart that one of them must be wrong.
        """
        times, points = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if times.ndim != 1 or times.shape != points.shape:
            raise ValueError(f"times and values must be of one length, got {times.shape} and {points.shape}")
        usable = np.isfinite(times) & np.isfinite(points)
        times, points = times[usable], points[usable]
        if times.size == 0:
            return cls.empty(step_s)
        times, points = _last_of_each(times, points)
        step = np.floor(times / step_s)
        count = int(step[-1] - step[0]) + 1
        if count > MAX_STEPS:
            raise ValueError(
                f"points from {times[0]:.0f} to {times[-1]:.0f} span {count} steps of {step_s:g} s; "
                "a timestamp is wrong, or not in seconds"
            )
        slot = (step - step[0]).astype(np.intp)
        seen = np.bincount(slot, minlength=count)
        total = np.bincount(slot, weights=points, minlength=count)
        return cls(float(step[0]) * step_s, step_s, total / np.maximum(seen, 1), seen > 0)

    def __len__(self) -> int:
        """Count the steps, gaps included."""
        return self.values.size

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same steps with the same values."""
        if not isinstance(other, Series):
            return NotImplemented
        same_grid = self.start_s == other.start_s and self.step_s == other.step_s
        return (
            same_grid
            and np.array_equal(self.known, other.known)
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def end_s(self) -> float:
        """The moment at which the last step ends."""
        return self.start_s + len(self) * self.step_s

    @property
    def times_s(self) -> Floats:
        """The beginning of each step, shape (n,)."""
        return self.start_s + self.step_s * np.arange(len(self), dtype=np.float64)

    @property
    def known_values(self) -> Floats:
        """What was measured, in order of time and without the gaps."""
        return self.values[self.known]

    def points(self) -> Iterator[tuple[float, float | None]]:
        """Yield the beginning of each step and its value, `None` in a gap."""
        for time_s, value, known in zip(self.times_s, self.values, self.known, strict=True):
            yield float(time_s), float(value) if known else None

    def at(self, time_s: float) -> float | None:
        """Return the value of the step that holds `time_s`; `None` in a gap and outside the series."""
        i = self._index(time_s)
        return float(self.values[i]) if 0 <= i < len(self) and self.known[i] else None

    def last_known(self) -> tuple[float, float] | None:
        """Return beginning and value of the latest step that is known; `None` when there is none."""
        where = np.flatnonzero(self.known)
        if where.size == 0:
            return None
        i = int(where[-1])
        return self.start_s + i * self.step_s, float(self.values[i])

    def gaps(self) -> list[tuple[float, float]]:
        """Return the stretches that are unknown, as (from, until) in Unix seconds."""
        edge = np.diff(np.concatenate(([True], self.known, [True])).astype(np.int8))
        begins, ends = np.flatnonzero(edge < 0), np.flatnonzero(edge > 0)
        return [
            (self.start_s + int(a) * self.step_s, self.start_s + int(b) * self.step_s)
            for a, b in zip(begins, ends, strict=True)
        ]

    def window(self, from_s: float, until_s: float) -> "Series":
        """Return the steps that begin in [from_s, until_s)."""
        first = min(max(self._index(from_s, up=True), 0), len(self))
        last = min(max(self._index(until_s, up=True), first), len(self))
        return Series(
            self.start_s + first * self.step_s, self.step_s, self.values[first:last], self.known[first:last]
        )

    def append(self, value: float | None) -> "Series":
        """Return the series with one more step; `None` and NaN make it a gap."""
        number = np.nan if value is None else value
        return Series(self.start_s, self.step_s, np.append(self.values, number), np.append(self.known, True))

    def merge(self, other: "Series") -> "Series":
        """Lay `other` over this series: what it knows counts, elsewhere this series does.

        Raises ValueError when the two do not lie on one grid; `resample` one of them first.
        """
        if len(other) == 0:
            return self
        if len(self) == 0:
            return other
        shift = (other.start_s - self.start_s) / self.step_s
        if self.step_s != other.step_s or abs(shift - round(shift)) > 1e-6:
            raise ValueError(
                f"cannot merge steps of {self.step_s:g} s from {self.start_s:.3f} with steps of "
                f"{other.step_s:g} s from {other.start_s:.3f}: resample one onto the other's grid"
            )
        offset = round(shift)
        first, last = min(0, offset), max(len(self), offset + len(other))
        if last - first > MAX_STEPS:
            raise ValueError(
                f"merging would make {last - first} steps; one of the two series is at a wrong time"
            )
        values, known = np.zeros(last - first), np.zeros(last - first, dtype=np.bool_)
        for part, begin in ((self, -first), (other, offset - first)):
            where = begin + np.flatnonzero(part.known)
            values[where] = part.known_values
            known[where] = True
        return Series(self.start_s + first * self.step_s, self.step_s, values, known)

    def resample(self, step_s: float, min_known: float = 0.5) -> "Series":
        """Return the series on steps of `step_s` that begin at its multiples since the epoch.

        A coarser step holds the mean of what is known in it, weighted by time, and is a gap where less than
        the share `min_known` is known. A finer step holds the value of the step it lies in.
        """
        if step_s <= 0:
            raise ValueError(f"a step must be above zero, got {step_s}")
        if len(self) == 0:
            return Series.empty(step_s)
        first = np.floor(self.start_s / step_s + 1e-9)
        count = int(np.ceil(self.end_s / step_s - 1e-9) - first)
        if count > MAX_STEPS:
            raise ValueError(
                f"steps of {step_s:g} s would cut this series into {count}; choose a longer step"
            )
        # Relative to the start: at Unix times the edges would lose digits.
        edges = first * step_s - self.start_s + step_s * np.arange(count + 1)
        grid = self.step_s * np.arange(len(self) + 1, dtype=np.float64)
        known_s = np.diff(np.interp(edges, grid, _running(np.where(self.known, self.step_s, 0.0))))
        total = np.diff(np.interp(edges, grid, _running(self.values * self.step_s)))
        known = known_s >= max(min_known * step_s, 1e-9) - 1e-9 * step_s
        values = np.divide(total, known_s, out=np.zeros(count), where=known)
        return Series(float(first) * step_s, step_s, values, known)

    def _index(self, time_s: float, up: bool = False) -> int:
        position = (time_s - self.start_s) / self.step_s
        if not np.isfinite(position):
            return len(self) if position > 0 else -1
        nearest = round(position)
        if abs(position - nearest) < 1e-6:
            return nearest
        return int(np.ceil(position)) if up else int(np.floor(position))


def _last_of_each(times: Floats, points: Floats) -> tuple[Floats, Floats]:
    """Sort by time; of equal times keep the one that stood last."""
    order = np.argsort(times, kind="stable")
    times, points = times[order], points[order]
    last = np.append(times[1:] != times[:-1], True)
    return times[last], points[last]


def _running(amounts: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(amounts)))
