"""Say that demand is, or soon will be, above its forecast."""

from dataclasses import dataclass

from models.values import Signal


@dataclass(frozen=True, slots=True)
class Surge:
    """Say what a signal was measured at or grows to, and by what factor that exceeds what was foreseen."""

    request_class: str
    signal: Signal
    value: float
    factor: float
    sentence: str
