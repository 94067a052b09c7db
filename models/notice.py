"""Say what changed from one forecast to the next that a person should hear of."""

from dataclasses import dataclass
from enum import StrEnum

from models.prediction import Forecast, SignalForecast
from models.values import Role, Signal


class Event(StrEnum):
    """Name what happened, as events in a cluster are named."""

    FORECAST_DEMOTED = "ForecastDemoted"
    FORECAST_TRUSTED = "ForecastTrusted"
    FIT_HELD_UP = "FitHeldUp"
    FIT_RECOVERED = "FitRecovered"
    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    HELD = "Held"
    BUDGET_BINDS = "BudgetBinds"
    QUOTA_REFUSED = "QuotaRefused"
    CAPACITY_REFUSED = "CapacityRefused"
    CANNOT_START = "CannotStart"
    SUPERSEDED = "Superseded"
    SCALING_FAILED = "ScalingFailed"
    CONFIG_REFUSED = "ConfigRefused"

    @property
    def warning(self) -> bool:
        """Whether somebody may have to act."""
        return self not in _NORMAL


_NORMAL = frozenset(
    {Event.FORECAST_TRUSTED, Event.FIT_RECOVERED, Event.SCALED_UP, Event.SCALED_DOWN, Event.SUPERSEDED}
)


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell of one event: what it is about, the demand of a class, a role or neither, and a sentence."""

    event: Event
    request_class: str
    signal: Signal | None
    sentence: str
    role: Role | None = None

    @property
    def subject(self) -> str:
        """What it is about; empty for the whole deployment."""
        if self.role is not None:
            return self.role.value
        return "" if self.signal is None else f"{self.request_class} {self.signal}"

    def __str__(self) -> str:
        """Say it as an operator reads it."""
        # A decision's sentence begins with its role.
        told = self.role is not None and self.sentence.startswith(self.role.value)
        return f"{self.subject}: {self.sentence}" if self.subject and not told else self.sentence


def notices(before: Forecast | None, now: Forecast) -> tuple[Notice, ...]:
    """Return what to tell at the change from one forecast to the next; nothing while all stays as it was.

    Without a forecast before, a signal that is not trusted is no news: a process that begins knows little.
    """
    told = []
    for name, signals in now.signals.items():
        for signal, said in signals.items():
            was = None if before is None else before.signals.get(name, {}).get(signal)
            if was is not None:
                told += [Notice(event, name, signal, sentence) for event, sentence in _changes(was, said)]
    return tuple(told)


def _changes(was: SignalForecast, said: SignalForecast) -> list[tuple[Event, str]]:
    found = []
    if said.fallback is not None and was.fallback is None:
        found.append(
            (Event.FORECAST_DEMOTED, f"recent demand counts instead of the forecast: {said.fallback}")
        )
    elif said.fallback is None and was.fallback is not None:
        found.append((Event.FORECAST_TRUSTED, f"the forecast counts again: {said.why}"))
    if said.trouble is not None and was.trouble is None:
        found.append((Event.FIT_HELD_UP, f"an older fit answers: {said.trouble}"))
    elif said.trouble is None and was.trouble is not None:
        found.append((Event.FIT_RECOVERED, f"a new fit answers: {said.why}"))
    return found
