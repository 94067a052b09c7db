"""Compare each forecast with the demand that came a start-up later."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from models.observation import ClassDemand, Observation
from models.prediction import Forecast
from models.values import Signal


@dataclass(frozen=True, slots=True)
class Tally:
    """Count demands that were foreseen, those `covered` by the operating quantile, those `under` each."""

    forecasts: int
    covered: int
    under: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    due: int
    name: str
    signal: Signal
    values: tuple[float, ...]
    operating: float


class Foreseen:
    """Hold what was forecast until the demand of that moment is known; one forecast a step and signal."""

    def __init__(self, levels: tuple[float, ...], operating_level: float, step_s: float) -> None:
        """Count by these levels; a forecast with others is left out."""
        self.levels, self._step_s = levels, step_s
        self._nearest = (
            min(range(len(levels)), key=lambda i: abs(levels[i] - operating_level)) if levels else 0
        )
        self._waiting: deque[_Said] = deque()

    def said(self, forecast: Forecast, horizon_s: float) -> None:
        """Remember what a forecast says of the moment `horizon_s` ahead."""
        for name, signals in forecast.signals.items():
            for signal, each in signals.items():
                if each.levels != self.levels:
                    continue
                i = min(range(len(each.offsets_s)), key=lambda k: abs(each.offsets_s[k] - horizon_s))
                due = round((forecast.at_s + each.offsets_s[i]) / self._step_s)
                values = tuple(path[i] for path in each.paths)
                self._waiting.append(_Said(due, name, signal, values, values[self._nearest]))

    def came(self, step: int, seen: Observation | None) -> Tally:
        """Count what had been said of a step that has ended; `None`: its demand is not known."""
        forecasts = covered = 0
        under = [0] * len(self.levels)
        told: set[tuple[str, Signal]] = set()
        kept: deque[_Said] = deque()
        for said in self._waiting:
            if said.due > step:
                kept.append(said)
                continue
            value = _value(seen.demand if seen is not None else {}, said)
            if said.due < step or value is None or (said.name, said.signal) in told:
                continue
            told.add((said.name, said.signal))
            forecasts += 1
            covered += value <= said.operating
            for i, quantile in enumerate(said.values):
                under[i] += value <= quantile
        self._waiting = kept
        return Tally(forecasts, covered, tuple(under))


def _value(demand: Mapping[str, ClassDemand], said: _Said) -> float | None:
    found = demand.get(said.name)
    return None if found is None else found.value(said.signal)
