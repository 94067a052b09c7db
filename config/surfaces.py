"""Say in the configuration how far observed latencies may correct what was profiled."""

from pydantic import Field

from config.quantities import Duration
from config.section import Section
from models.policy import SurfacePolicy

_SURFACE = SurfacePolicy()


class SurfaceSettings(Section):
    """How far observed latencies may correct the profile's surfaces; times are multiplied by a ratio."""

    fastest_ratio: float = Field(
        default=_SURFACE.fastest_ratio,
        alias="fastest",
        gt=0.0,
        le=1.0,
        description="Least ratio that times are multiplied by, however fast replicas seem. 1: never less.",
    )
    slowest_ratio: float = Field(
        default=_SURFACE.slowest_ratio,
        alias="slowest",
        ge=1.0,
        le=10.0,
        description="Largest ratio that times are multiplied by, however slow replicas seem. 1: never more.",
    )
    warm_up_s: Duration = Field(
        default=_SURFACE.warm_up_s,
        alias="warm_up",
        description="How long a role's replicas must have been the same before their latencies count, a "
        "duration: caches and compilation make new ones slow.",
    )

    def to_policy(self) -> SurfacePolicy:
        """Return the bounds."""
        return SurfacePolicy(self.fastest_ratio, self.slowest_ratio, self.warm_up_s)
