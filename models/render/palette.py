"""Give each policy, class, role and layout its colour and dash, the same on every chart of a page."""

from collections.abc import Iterable

from models.render.figure import Swatch
from models.values import Role

_SOLID: tuple[int, ...] = ()
_POLICIES = {
    "headgate": Swatch("headgate", "var(--series-1)"),
    "static-peak": Swatch("static-peak", "var(--series-8)", (6, 3)),
    "hpa": Swatch("hpa", "var(--series-2)", (2, 2)),
    "oracle": Swatch("oracle", "var(--series-3)", (8, 3, 2, 3)),
    "headgate-reactive": Swatch("headgate-reactive", "var(--series-1)", (2, 2)),
    "headgate-perfect": Swatch("headgate-perfect", "var(--series-3)", (4, 4)),
    "static-mean": Swatch("static-mean", "var(--series-4)", (4, 4)),
}
_OTHERS = (5, 6, 7, 4, 2, 3, 1, 8)
_DASHES = (_SOLID, (6, 3), (2, 2), (8, 3, 2, 3), (4, 4))
_ROLE_SHADES = {Role.PREFILL: 1, Role.DECODE: 2, Role.AGGREGATED: 3}


def policies(names: Iterable[str]) -> tuple[Swatch, ...]:
    """Return swatches of policies; the well-known ones keep theirs, others take what is left in turn."""
    free = iter(range(1_000))
    found = []
    for name in names:
        if name in _POLICIES:
            found.append(_POLICIES[name])
        else:
            turn = next(free)
            colour = f"var(--series-{_OTHERS[turn % len(_OTHERS)]})"
            found.append(Swatch(name, colour, _DASHES[1 + turn % (len(_DASHES) - 1)]))
    return tuple(found)


def series(names: Iterable[str], first: int = 1) -> tuple[Swatch, ...]:
    """Return swatches of things without a colour of their own, from colour `first` on."""
    return tuple(
        Swatch(name, f"var(--series-{(first - 1 + i) % 8 + 1})", _DASHES[i % len(_DASHES)])
        for i, name in enumerate(names)
    )


def states(roles: Iterable[Role]) -> tuple[Swatch, ...]:
    """Return swatches of each role's states: ready in full colour, starting pale, draining grey."""
    return tuple(
        swatch
        for role in roles
        for swatch in (
            Swatch(f"{role} ready", f"var(--series-{_ROLE_SHADES[role]})"),
            Swatch(f"{role} starting", f"var(--pale-{_ROLE_SHADES[role]})"),
            Swatch(f"{role} draining", "var(--leaving)"),
        )
    )
