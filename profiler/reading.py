"""Read the flags that hold more than one value: roles, layouts, mixes, budgets and prices."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from models import units
from models.errors import ConfigError
from models.mix import RequestAtom, RequestMix
from models.values import Role
from profiler.order import Order

T = TypeVar("T")


def per_role(text: str, option: str) -> dict[Role, str]:
    """Read `gb200` for every role, or `prefill=h100,decode=gb200`; raises ConfigError for anything else."""
    if "=" not in text:
        return dict.fromkeys(Role, text)
    found: dict[Role, str] = {}
    for part in _parts(text):
        role, sign, value = part.partition("=")
        if not sign or not value or role not in list(Role):
            raise ConfigError(f"{option}: {part[:40]!r} is not ROLE=NAME with {', '.join(Role)}")
        if Role(role) in found:
            raise ConfigError(f"{option}: {role} is given twice")
        found[Role(role)] = value
    if (Role.PREFILL in found) != (Role.DECODE in found):
        raise ConfigError(f"{option}: prefill and decode need each other; name both")
    return found


def layouts_per_role(text: str | None) -> dict[Role, str] | None:
    """Read `TP1,TEP4` for every role, or `prefill=TP1,TP2,decode=TEP4`; None when nothing is named.

    Raises ConfigError for an unknown role and for a layout before the first role.
    """
    if text is None:
        return None
    if "=" not in text:
        return dict.fromkeys(Role, text)
    found: dict[Role, list[str]] = {}
    role: Role | None = None
    for part in _parts(text):
        head, sign, name = part.rpartition("=")
        if sign:
            if head not in list(Role):
                raise ConfigError(f"--layouts: {head[:40]!r} is no role; there are {', '.join(Role)}")
            role = Role(head)
        if role is None:
            raise ConfigError(f"--layouts: {part[:40]!r} stands before any role; write ROLE=LAYOUT first")
        found.setdefault(role, []).append(name)
    return {role: ",".join(names) for role, names in found.items()}


def request_mix(order: Order) -> RequestMix:
    """Return the requests to select for: `--mix 70%:8k/50,30%:600/700/500`, or all of one shape.

    A shape is ISL/OSL, or ISL/OSL/CACHED; without the third the prefix cache holds its share of each prompt.
    Raises ConfigError that names the part at fault.
    """
    if order.mix is None:
        cached = order.isl_tokens * order.prefix_ratio
        return RequestMix.constant(order.isl_tokens, order.osl_tokens, cached)
    atoms = [_atom(part, order.prefix_ratio) for part in _parts(order.mix)]
    total = sum(atom.weight for atom in atoms)
    if total <= 0:
        raise ConfigError(f"--mix: {order.mix[:60]!r} has no share above zero")
    return RequestMix(
        tuple(RequestAtom(a.isl_tokens, a.osl_tokens, a.cached_tokens, a.weight / total) for a in atoms)
    )


def by_hardware(text: str | None, option: str, machines: Sequence[str], least: float) -> Mapping[str, float]:
    """Read `28` for the only hardware, or `h100=16,gb200=12`; names in any case. Raises ConfigError."""
    if text is None:
        return {}
    if "=" not in text:
        if len(machines) > 1:
            raise ConfigError(
                f"{option}: say which hardware, such as {machines[0]}=16; there are {', '.join(machines)}"
            )
        return {machines[0]: _number(text, option, least)}
    known = {name.casefold(): name for name in machines}
    found: dict[str, float] = {}
    for part in _parts(text):
        name, _, value = part.partition("=")
        if name.strip().casefold() not in known:
            raise ConfigError(f"{option}: no role runs on {name[:40]!r}; there is {', '.join(machines)}")
        found[known[name.strip().casefold()]] = _number(value, option, least)
    return found


def _atom(part: str, prefix_ratio: float) -> RequestAtom:
    share, sign, shape = part.rpartition(":")
    lengths = shape.split("/")
    try:
        weight = _share(share) if sign else 1.0
        isl, osl, *rest = (units.count(length) for length in lengths)
        cached = rest[0] if rest else isl * prefix_ratio
        if len(rest) > 1 or not (isl >= 1 and osl >= 1 and 0 <= cached <= isl and weight >= 0):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"--mix: {part[:40]!r} is not SHARE:ISL/OSL or SHARE:ISL/OSL/CACHED, such as 70%:8k/50 or "
            "0.3:600/700/500"
        ) from None
    return RequestAtom(isl, osl, cached, weight)


def _share(text: str) -> float:
    return float(text[:-1]) / 100.0 if text.endswith("%") else float(text)


def _number(text: str, option: str, least: float) -> float:
    try:
        value = units.count(text)
    except ValueError:
        value = float("nan")
    if not least <= value < 1e12:
        raise ConfigError(f"{option}: {text[:40]!r} is not a number from {least:g} up")
    return value


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
