"""Hold the samples of one series as Prometheus stored them, and read them from its answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.series import Floats

NAME = "__name__"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Hold samples of one series in order of time: Unix seconds and values, both of shape (n,).

    `step_s` is the grid on which they were picked, shape (n,); 0 where every stored sample is here.
    """

    labels: Mapping[str, str]
    at_s: Floats
    values: Floats
    step_s: Floats

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.labels.get(NAME, "")

    def renamed(self, name: str) -> "Samples":
        """Return the same samples under another metric name."""
        return replace(self, labels={**self.labels, NAME: name})

    def key(self, without: Iterable[str] = (NAME,)) -> tuple[tuple[str, str], ...]:
        """Identify the series by its labels."""
        left_out = frozenset(without)
        return tuple(sorted((k, v) for k, v in self.labels.items() if k not in left_out))


def parse(result: object, step_s: float = 0.0) -> tuple[list[Samples], int]:
    """Read a matrix or a vector; returns the series and how many samples were not finite.

    A sample that is not finite says nothing and is left out, a series with none left as well. Proxies that
    merge replicas of a server may repeat samples or mix up their order: each time counts once, the last of
    its samples where they differ.

    Raises ValueError when the answer has another shape.
    """
    if not isinstance(result, list):
        raise ValueError(f"expected a list of series, got {type(result).__name__}")
    found, dropped = [], 0
    for entry in result:
        labels, pairs = _entry(entry)
        table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        good = np.isfinite(table).all(axis=1)
        dropped += int((~good).sum())
        table = _in_order(table[good])
        if len(table):
            steps = np.full(len(table), step_s)
            found.append(Samples(labels, table[:, 0], table[:, 1], steps))
    return found, dropped


def at_true_times(values: Sequence[Samples], times: Sequence[Samples]) -> list[Samples]:
    """Move samples picked on a grid to when they were taken, and drop repeats.

    `times` answers `timestamp(...)` of the same range query. A grid point without both is left out.
    """
    taken = {t.key(without=()): t for t in times}
    moved = []
    for series in values:
        when = taken.get(series.key(without=()))
        if when is None:
            continue
        _, here, there = np.intersect1d(series.at_s, when.at_s, assume_unique=True, return_indices=True)
        real, first = np.unique(when.values[there], return_index=True)
        kept = here[first]
        moved.append(Samples(series.labels, real, series.values[kept], series.step_s[kept]))
    return [m for m in moved if len(m.at_s)]


def joined(parts: Iterable[Samples]) -> list[Samples]:
    """Join the pieces of each series in order of time.

    Of equal times, where a coarser grid meets a finer one, the coarser counts: a sample's step says how far
    back the one before it may lie.
    """
    pieces: dict[tuple[tuple[str, str], ...], list[Samples]] = {}
    for part in parts:
        pieces.setdefault(part.key(without=()), []).append(part)
    whole = []
    for group in pieces.values():
        at_s, values, steps = (
            np.concatenate([getattr(p, field) for p in group]) for field in ("at_s", "values", "step_s")
        )
        order = np.lexsort((-steps, at_s))
        at_s, values, steps = at_s[order], values[order], steps[order]
        keep = np.append(True, np.diff(at_s) > 0)
        whole.append(Samples(group[0].labels, at_s[keep], values[keep], steps[keep]))
    return whole


def _in_order(table: Floats) -> Floats:
    """Return rows of (time, value) in order of time; of equal times the row that stood last."""
    if (np.diff(table[:, 0]) > 0).all():
        return table
    table = table[np.argsort(table[:, 0], kind="stable")]
    latest = np.append(np.diff(table[:, 0]) > 0, True)
    return np.asarray(table[latest], dtype=np.float64)


def _entry(entry: Any) -> tuple[dict[str, str], Any]:
    try:
        labels, pairs = dict(entry["metric"]), entry["values"] if "values" in entry else [entry["value"]]
        return labels, [(float(at), float(value)) for at, value in pairs]
    except (KeyError, TypeError, ValueError):
        raise ValueError("a series without metric and values") from None
