"""Tell to which class each request of a trace belongs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.errors import TraceError
from models.policy import ClassMatch
from models.simulation.workload import Floats, Index

Classes: TypeAlias = NDArray[np.int16]
_NONE = -1


def assign(
    input_tokens: Floats,
    labels: Sequence[str] | None,
    lines: Index,
    matches: Sequence[ClassMatch],
    path: Path,
) -> Classes:
    """Return each request's position in `matches`, shape (n,).

    A name in the trace's `class` column decides. Without one the first class whose input-token range admits
    the request takes it, and the class that asks for nothing takes the rest. Classes told apart by labels
    alone cannot be recognised in a trace that does not name them.

    Raises TraceError that names the line of a request that belongs nowhere.
    """
    found = np.full(input_tokens.size, _NONE, dtype=np.int16)
    for number, match in reversed(list(enumerate(matches))):
        if match.rest:
            found[:] = number
    for number, match in reversed(list(enumerate(matches))):
        if match.by_length:
            low = 0 if match.min_input_tokens is None else match.min_input_tokens
            high = np.inf if match.max_input_tokens is None else match.max_input_tokens
            found[(input_tokens >= low) & (input_tokens <= high)] = number
    if labels is not None:
        _by_name(found, labels, lines, matches, path)
    lost = np.flatnonzero(found == _NONE)
    if lost.size:
        first = int(lost[0])
        raise TraceError(
            f"{path}: line {lines[first]}: no class takes a request of {input_tokens[first]:.0f} tokens; "
            "give one class no `match`, or name classes in a `class` column"
        )
    return found


def _by_name(
    found: Classes, labels: Sequence[str], lines: Index, matches: Sequence[ClassMatch], path: Path
) -> None:
    number = {match.request_class: i for i, match in enumerate(matches)} | {"": _NONE}
    # By label and not by row: there are few labels, whatever their length, and millions of rows.
    numbers = {label: number.get(label.strip()) for label in set(labels)}
    unknown = [label for label, n in numbers.items() if n is None]
    if unknown:
        first = min(map(labels.index, unknown))
        known = ", ".join(match.request_class for match in matches)
        name = labels[first].strip()[:40]
        raise TraceError(f"{path}: line {lines[first]}: class {name!r} is not configured; known: {known}")
    named = np.array([numbers[label] for label in labels], dtype=np.int16)
    found[named != _NONE] = named[named != _NONE]
