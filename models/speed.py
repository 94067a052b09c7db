"""Say how much slower a role's replicas are than their surfaces: what was measured, and what to plan with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from models.artifact import LayoutProfile
from models.policy import PoolPolicy, SurfacePolicy
from models.surface import Surface
from models.values import Role

# Looks that count, the latest: an hour of ticks a minute apart.
KEPT_LOOKS = 48
# Fewer say nothing, and as many in a row that are far off are a change.
LEAST_LOOKS = 12
# The profile weighs as much as so many looks; that it is right unless shown otherwise is _CONFIRMED's task.
_PROFILE_LOOKS = 1
# Looks a tick apart see much the same requests: so many count for one.
_ALIKE = 3.0
# A ratio nearer to 1 than this, or than twice its own error, is the profile's word confirmed.
_CONFIRMED = math.log(1.03)
# Planned with in steps, so that what is only noise changes no fleet.
_STEP = 0.02
# Median absolute deviation and error of a median, as standard deviations of a normal (Huber 1981).
_MAD, _MEDIAN_ERROR = 1.4826, 1.2533
# A look this many deviations off is doubted; a deviation is taken for at least this.
GATE, _LEAST_DEVIATION = 4.0, 0.02


@dataclass(frozen=True, slots=True)
class Speed:
    """Say with which surfaces one role is planned, and what that rests on.

    `ratio` multiplies the profile's times. `looks` are what single looks said: logarithms of observed over
    predicted; `doubted` those that were so far off that they wait for more of their kind. `sentence` says how
    the surfaces planned with differ from the profile's, empty where they do not.
    """

    ratio: float = 1.0
    looks: tuple[float, ...] = ()
    doubted: tuple[float, ...] = ()
    sentence: str = ""


def learned(before: Speed, look: float, bounds: SurfacePolicy) -> Speed:
    """Take in what one look says of a role's speed: the logarithm of observed over predicted.

    A look is held against the median of those before (normalised innovation, in deviations as their median
    absolute deviation says). One that is far off is doubted; LEAST_LOOKS of them in a row are a change, and
    begin anew. Raises ValueError for a look that is not finite.
    """
    if not math.isfinite(look):
        raise ValueError(f"a look must be finite, got {look}")
    looks, doubted = before.looks, before.doubted
    if len(looks) >= LEAST_LOOKS and abs(look - _median(looks)) > GATE * _deviation(looks):
        doubted = (*doubted, look)
        if len(doubted) < LEAST_LOOKS:
            return replace(before, doubted=doubted)
        looks, doubted = doubted, ()
    else:
        looks, doubted = (*looks, look)[-KEPT_LOOKS:], ()
    ratio = _ratio(looks, bounds)
    return Speed(ratio, looks, doubted, _sentence(ratio, len(looks)))


def corrected(
    layouts: Mapping[Role, LayoutProfile], pools: Mapping[Role, PoolPolicy]
) -> Mapping[Role, LayoutProfile]:
    """Return layouts with surfaces as slow as the pools say; the very same where they keep the profile's."""
    return {
        role: _slower(layout, pools[role].surface_ratio)
        if role in pools and pools[role].surface_ratio != 1.0
        else layout
        for role, layout in layouts.items()
    }


@lru_cache(maxsize=32)
def _slower(layout: LayoutProfile, ratio: float) -> LayoutProfile:
    return replace(layout, prefill=_times(layout.prefill, ratio), decode=_times(layout.decode, ratio))


def _times(surface: Surface | None, ratio: float) -> Surface | None:
    if surface is None:
        return None
    return replace(surface, values_s=tuple(tuple(ratio * v for v in row) for row in surface.values_s))


def _ratio(looks: Sequence[float], bounds: SurfacePolicy) -> float:
    """Shrink the median to the profile, leave what is no more than noise, and hold it to its bounds."""
    count = len(looks)
    if count < LEAST_LOOKS:
        return 1.0
    middle = _median(looks)
    error = _MEDIAN_ERROR * _deviation(looks) / math.sqrt(count / _ALIKE)
    if abs(middle) < max(2.0 * error, _CONFIRMED):
        return 1.0
    shrunk = math.exp(middle * count / (count + _PROFILE_LOOKS))
    return min(max(round(shrunk / _STEP) * _STEP, bounds.fastest_ratio), bounds.slowest_ratio)


def _median(looks: Sequence[float]) -> float:
    return float(np.median(looks))


def _deviation(looks: Sequence[float]) -> float:
    return max(_MAD * float(np.median(np.abs(np.array(looks) - _median(looks)))), _LEAST_DEVIATION)


def _sentence(ratio: float, looks: int) -> str:
    if ratio == 1.0:
        return ""
    how = f"{ratio - 1.0:.0%} slower" if ratio > 1.0 else f"{1.0 - ratio:.0%} faster"
    return f"its replicas are {how} than profiled (median of {looks} looks)"
