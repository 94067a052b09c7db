"""Say who fits the forecasts: the one who asks, or a worker that answers later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.forecast.base import NotYet
from models.forecast.signal import SignalFit, fit_signal
from models.forecast.staged import Memory
from models.policy import ForecastPolicy
from models.series import Series
from models.values import Signal


@dataclass(frozen=True, slots=True)
class Subject:
    """Name whose demand is fitted."""

    deployment: str
    request_class: str
    signal: Signal

    def __str__(self) -> str:
        """Name it as an operator reads it."""
        return f"{self.deployment} {self.request_class} {self.signal}"


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Say which fit is wanted: on what came before `at_s`, read back for the `seeded`-th time."""

    at_s: float
    seeded: int = 0


@dataclass(frozen=True, slots=True)
class Fitting:
    """Hold the latest good fit, `None` before the first, when it was due, and what holds up a newer one."""

    fit: SignalFit | NotYet | None
    due: Due | None
    trouble: str | None = None


class Fitter(Protocol):
    """Fit on a schedule that the caller keeps."""

    def fit(
        self, subject: Subject, due: Due, series: Callable[[], Series], policy: ForecastPolicy
    ) -> Fitting:
        """Return the fit that is due, or the latest there is; `series` is read only if a fit is begun."""
        ...


class InlineFitter:
    """Fit at once, while the caller waits: for replays and single recommendations."""

    def __init__(self) -> None:
        """Begin with nothing fitted."""
        self._memory: dict[Subject, Memory] = {}
        self._last: dict[Subject, Fitting] = {}

    def fit(
        self, subject: Subject, due: Due, series: Callable[[], Series], policy: ForecastPolicy
    ) -> Fitting:
        """Return the fit that is due."""
        last = self._last.get(subject)
        if last is None or last.due != due:
            memory = self._memory.setdefault(subject, Memory())
            memory.turn()
            last = self._last[subject] = Fitting(fit_signal(series(), due.at_s, policy, memory), due)
        return last
