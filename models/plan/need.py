"""Hold what a set of scenarios needs, before and after the bounds."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class Need:
    """Hold counts: alone per role, together, inside floors and ceilings, and as far as budget and nodes go.

    `cut_by` says what makes `affordable` differ from `wanted` (`None`: nothing does).
    """

    alone: Mapping[Role, int]
    together: Mapping[Role, int]
    wanted: Mapping[Role, int]
    affordable: Mapping[Role, int]
    cut_by: Binding | None = None
