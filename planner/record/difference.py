"""Say in what two trees of plain data differ, and make the one from the other."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

Place = list[str | int]


def difference(before: Any, after: Any) -> list[tuple[Place, Any]] | None:
    """Return the places where `after` has another value than `before`, and that value.

    `None` where the trees are of different shapes at the top. Lists of different lengths and mappings of
    different keys are other values as a whole.
    """
    found: list[tuple[Place, Any]] = []
    return found if _differ(before, after, [], found) else None


def applied(before: Any, changes: Sequence[tuple[Place, Any]]) -> Any:
    """Return `before` with the changes made; it stays as it was. Raises ValueError where they do not fit."""
    made = deepcopy(before)
    for place, value in changes:
        *way, last = place
        here = made
        try:
            for key in way:
                here = here[key]
            here[last]
            here[last] = value
        except (KeyError, IndexError, TypeError):
            raise ValueError(f"{'.'.join(map(str, place))}: is not there") from None
    return made


def _differ(before: Any, after: Any, place: Place, found: list[tuple[Place, Any]]) -> bool:
    """Collect differences below a place; false where it must be told as a whole."""
    if isinstance(before, dict) and isinstance(after, dict) and list(before) == list(after):
        keys: Sequence[str | int] = list(before)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        keys = range(len(before))
    else:
        return False
    for key in keys:
        one, other = before[key], after[key]
        # 1 and 1.0 and true are the same to Python, and not in JSON.
        if one == other and type(one) is type(other) and not isinstance(one, dict | list):
            continue
        if not _differ(one, other, [*place, key], found) and (one != other or type(one) is not type(other)):
            found.append(([*place, key], other))
    return True
