"""Read what a person asks of the scaler by annotating a target.

Whoever writes such an annotation wants Headgate to keep its hands off. What cannot be read therefore pauses
the role, and says so: a slip of the pen must not be what lets a scaler go on.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from models.policy import MOST_REPLICAS
from models.values import Role

PREFIX = "headgate.io"
PAUSED = f"{PREFIX}/paused"
PAUSED_SCALE_IN = f"{PREFIX}/paused-scale-in"
PAUSED_SCALE_OUT = f"{PREFIX}/paused-scale-out"
PINNED_REPLICAS = f"{PREFIX}/pinned-replicas"

# An annotation without a value was written for its name.
_YES, _NO = frozenset({"true", "yes", "on", "1", ""}), frozenset({"false", "no", "off", "0"})
_FLAGS = (PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT)
_KNOWN = (*_FLAGS, PINNED_REPLICAS)
_MEANT = re.compile(rf"{PREFIX}/(paus|pin)")


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


def pauses(annotations: Mapping[str, str], component: str | None = None, role: Role | None = None) -> Pauses:
    """Read the annotations of a target.

    On a DynamoGraphDeployment they speak of all its components. One component is meant by its name in lower
    case behind the annotation's, such as `headgate.io/paused.decode`, and then these count; or by its role
    in the value: `headgate.io/pinned-replicas: prefill=4,decode=2`, `headgate.io/paused: prefill`. What
    cannot be read pauses: somebody wanted something.
    """
    problems = [
        f"paused, as {key} is no annotation of ours; did you mean {_nearest(key)}?"
        for key in sorted(annotations)
        if _MEANT.match(key) and not any(key == known or key.startswith(f"{known}.") for known in _KNOWN)
    ]

    def stated(name: str) -> tuple[str, str] | None:
        keys = [f"{name}.{component.lower()}", name] if component else [name]
        return next(((key, annotations[key].strip().lower()) for key in keys if key in annotations), None)

    def flag(name: str) -> bool:
        said = stated(name)
        if said is None or said[1] in _NO:
            return False
        meant = said[1] if said[1] in _YES else _of_role(said[1], role, lambda text: text in _YES | _NO)
        if meant is None:
            problems.append(f"paused, as {said[0]} says neither true nor false: {said[1][:40]!r}")
        return meant is None or meant in _YES

    paused, scale_in, scale_out = (flag(name) for name in _FLAGS)
    pin, pinned = stated(PINNED_REPLICAS), None
    if pin is not None:
        meant = pin[1] if _is_count(pin[1]) else _of_role(pin[1], role, _is_count)
        if meant is None:
            problems.append(f"paused, as {pin[0]} is no count of at least 1: {pin[1][:40]!r}")
        elif meant not in _NO:
            pinned = int(meant)
    return Pauses(paused or bool(problems), scale_in, scale_out, pinned, tuple(problems))


def _of_role(text: str, role: Role | None, fits: Callable[[str], bool]) -> str | None:
    """Return what `prefill=4,decode` says of a role: "no" where it speaks of others; `None`: unreadable."""
    said: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        said[name.strip()] = value.strip()
    if role is None or not set(said) <= set(Role) or not all(map(fits, said.values())):
        return None
    return said.get(role.value, "no")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_REPLICAS


def _nearest(key: str) -> str:
    known = (PINNED_REPLICAS,) if key.startswith(f"{PREFIX}/pin") else _FLAGS
    return get_close_matches(key, known, n=1, cutoff=0.0)[0]
