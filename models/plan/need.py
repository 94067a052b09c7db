"""Hold what a set of scenarios needs, before and after the bounds."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class Need:
    """Hold counts: alone per role, together, and as far as the budget goes; `limits` says what set them."""

    alone: Mapping[Role, int]
    together: Mapping[Role, int]
    affordable: Mapping[Role, int]
    limits: Mapping[Role, Binding]
