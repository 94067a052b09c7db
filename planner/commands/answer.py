"""Hold what `headgate recommend` says of one deployment, before it is written in any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.decision import Record
    from models.observation import Gap
    from models.plan.outlook import Outlook
    from planner.recommend import Recommendation


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what is said of a deployment: a recommendation and what else is unknown, or why there is none.

    `checked` says that a cluster was asked what it would make of the changes; `patches` are what would be
    sent to it: object, operations (RFC 6902), the kubectl command, and what the server says of it. `outlook`
    is what the change is worth (`None`: it cannot be judged).
    """

    deployment: str
    made: Recommendation | None
    extra: tuple[Gap, ...] = ()
    error: str = ""
    checked: bool = False
    outlook: Outlook | None = None
    patches: tuple[Mapping[str, Any], ...] = ()

    def whole_record(self) -> Record:
        """Return the record with everything that is unknown, not only what the tick itself lacked."""
        assert self.made is not None, "there is a recommendation"
        seen = self.made.record.observation
        # The tick's own gaps stay in front: the first of them is the one that a held decision names.
        gaps = tuple(dict.fromkeys((*seen.gaps, *self.made.gaps, *self.extra)))
        return replace(self.made.record, observation=replace(seen, gaps=gaps))
