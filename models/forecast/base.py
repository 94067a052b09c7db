"""Say what a forecaster is: fit once on history, then predict from any origin in it or after it.

A series may have steps of any length: minutes in the planner, ten minutes or hours where only that was
measured. What a model calls a window is in seconds, and at least one step.
"""

from dataclasses import dataclass
from typing import Protocol

from models.series import Floats, Series


def steps_in(seconds: float, step_s: float) -> int:
    """Return how many steps a window has: the nearest whole number, at least one."""
    return max(round(seconds / step_s), 1)


@dataclass(frozen=True, slots=True)
class NotYet:
    """Say why a model cannot be fitted to the history at hand."""

    reason: str


class Fitted(Protocol):
    """Predict the level of demand; what `fit` learned is inside and does not change."""

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return the expected value of the step that ends at origin + horizon, shape (origins, horizons).

        Row i reads of `recent` only what lies before `origins_s[i]`: a backtest hands over the whole
        history and many origins, a tick the last hours and one. Both arrays are multiples of the step.
        NaN where nothing can be said.
        """
        ...


class Forecaster(Protocol):
    """Learn from a series; deterministic: the same series gives the same predictions."""

    @property
    def name(self) -> str:
        """The name that reports show."""
        ...

    def fit(self, series: Series) -> Fitted | NotYet:
        """Learn from a series of any step; gaps teach nothing."""
        ...
