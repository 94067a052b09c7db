"""Say in the configuration what a track record must show before a deployment may act."""

from typing import Annotated

from pydantic import Field, model_validator

from config.quantities import Duration, Share, at_most
from config.section import Section, refuse
from models.track.criteria import Criteria

_CRITERIA = Criteria()
_DAY_S = 86_400.0


class ReadinessSettings(Section):
    """What `headgate report` asks of a deployment's decisions before it calls them ready to act.

    Besides, the promise of every class must have been kept.
    """

    history_s: Annotated[Duration, at_most(28 * _DAY_S)] = Field(
        default=_CRITERIA.least_days * _DAY_S,
        alias="history",
        description="Least time of decisions that is recorded, a duration of at most 28d. A week has seen "
        "each day of the week once.",
    )
    known: Share = Field(
        default=_CRITERIA.known_ratio,
        description="Least share of the recorded time whose demand is known.",
    )
    least_coverage: Share = Field(
        default=_CRITERIA.least_coverage,
        description="Least share of demands at or under the operating quantile of the forecast. Below it "
        "demand surprises too often.",
    )
    most_coverage: Share = Field(
        default=_CRITERIA.most_coverage,
        description="Largest share of demands at or under the operating quantile. Above it forecasts are too "
        "high, and capacity stands idle.",
    )
    under: Share = Field(
        default=_CRITERIA.under_ratio,
        description="Largest share of the time in which fewer requests keep their promise than an oracle "
        "with the same start-up and bounds has to keep.",
    )
    over: float = Field(
        default=_CRITERIA.over_ratio,
        ge=0,
        le=100,
        description="Most GPU-hours beyond that oracle's, as a share of them.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "ReadinessSettings":
        if self.least_coverage > self.most_coverage:
            refuse([(("least_coverage",), "is above `most_coverage`: no forecast could be both")])
        return self

    def to_policy(self) -> Criteria:
        """Return the criteria."""
        return Criteria(
            least_days=self.history_s / _DAY_S,
            known_ratio=self.known,
            least_coverage=self.least_coverage,
            most_coverage=self.most_coverage,
            under_ratio=self.under,
            over_ratio=self.over,
        )
