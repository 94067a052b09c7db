"""Read what a person asks of the scaler by annotating a target."""

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "headgate.io"
PAUSED = f"{PREFIX}/paused"
PAUSED_SCALE_IN = f"{PREFIX}/paused-scale-in"
PAUSED_SCALE_OUT = f"{PREFIX}/paused-scale-out"
PINNED_REPLICAS = f"{PREFIX}/pinned-replicas"

_YES, _NO = frozenset({"true", "yes", "1", ""}), frozenset({"false", "no", "0"})


@dataclass(frozen=True, slots=True)
class Pauses:
    """Say what is paused or pinned; `problems` names annotations that could not be read, which pause."""

    paused: bool = False
    scale_in: bool = False
    scale_out: bool = False
    pinned_replicas: int | None = None
    problems: tuple[str, ...] = ()

    def forbids(self, before: int, after: int) -> str:
        """Say why a role must not go from one count to another; empty where it may."""
        if self.paused:
            return "; ".join(self.problems) or "paused"
        if self.scale_in and after < before:
            return "scale-in is paused"
        if self.scale_out and after > before:
            return "scale-out is paused"
        if self.pinned_replicas is not None and after != self.pinned_replicas:
            return f"pinned to {self.pinned_replicas}"
        return ""


def pauses(annotations: Mapping[str, str], component: str | None = None) -> Pauses:
    """Read the annotations of a target.

    On a DynamoGraphDeployment they speak of all its components; with `.<component>` in lower case behind
    the name, such as `headgate.io/paused.decode`, of that one, and then these count. What cannot be read
    pauses: somebody wanted something.
    """
    problems: list[str] = []

    def stated(name: str) -> tuple[str, str] | None:
        keys = [f"{name}.{component.lower()}", name] if component else [name]
        return next(((key, annotations[key].strip()) for key in keys if key in annotations), None)

    def flag(name: str) -> bool:
        said = stated(name)
        if said is None or said[1].lower() in _NO:
            return False
        if said[1].lower() not in _YES:
            problems.append(f"paused, as {said[0]} says neither true nor false: {said[1][:40]!r}")
        return True

    paused, scale_in, scale_out = flag(PAUSED), flag(PAUSED_SCALE_IN), flag(PAUSED_SCALE_OUT)
    pin, pinned = stated(PINNED_REPLICAS), None
    if pin is not None:
        pinned = int(pin[1]) if pin[1].isdecimal() and pin[1].isascii() else None
        if pinned is None or not 1 <= pinned <= 100_000:
            problems.append(f"paused, as {pin[0]} is no count of at least 1: {pin[1][:40]!r}")
            pinned = None
    return Pauses(paused or bool(problems), scale_in, scale_out, pinned, tuple(problems))
