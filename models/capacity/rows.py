"""Evaluate rows of arrays once for each replica count, many counts at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = Sequence[NDArray[Any]]


class Rows:
    """Keep what was evaluated for each replica count.

    `evaluate` gets counts of shape (counts,) and returns arrays whose first axis is as long. Arrays cost by
    the call far more than by the element: ask at once for all counts that may be needed.
    """

    def __init__(self, evaluate: Callable[[NDArray[np.int64]], Arrays]) -> None:
        """Start with no count evaluated."""
        self._evaluate = evaluate
        self._row_of: dict[int, int] = {}
        self._arrays: Arrays = ()

    def of(self, counts: ArrayLike) -> Arrays:
        """Return the rows of these counts: arrays whose first axes are the shape of `counts`."""
        wanted = np.asarray(counts)
        flat = wanted.ravel().tolist()
        missing = [n for n in flat if n not in self._row_of]
        if missing:
            new = list(dict.fromkeys(missing))
            made = self._evaluate(np.array(new))
            self._add(new, made)
            if len(new) == len(flat) and wanted.ndim == 1:
                return made
        at = np.array([self._row_of[n] for n in flat]).reshape(wanted.shape)
        return [array.take(at, axis=0) for array in self._arrays]

    def put(self, count: int, arrays: Arrays) -> None:
        """Take a count's row as given, in place of what would be evaluated."""
        if count in self._row_of:
            raise ValueError(f"{count} replicas were evaluated already")
        self._add([count], [np.asarray(array)[None] for array in arrays])

    def _add(self, counts: Sequence[int], rows: Arrays) -> None:
        self._row_of.update(
            zip(counts, range(len(self._row_of), len(self._row_of) + len(counts)), strict=True)
        )
        joined = (
            [np.concatenate(pair) for pair in zip(self._arrays, rows, strict=True)] if self._arrays else rows
        )
        self._arrays = joined
