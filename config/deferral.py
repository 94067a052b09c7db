"""Say in the configuration how long the requests of a class may wait, and who knows what waits."""

from pydantic import Field, model_validator

from config.quantities import Duration
from config.section import Problems, Section, refuse
from config.windows import Clock
from models.deferral import Deferral


class DeferralSettings(Section):
    """Let requests of a class wait outside the engines, in a queue of yours, and be served in troughs."""

    done_by: Clock | None = Field(
        default=None,
        description="Time of the day, on the clock of `forecast.timezone`, by which all that waits is done, "
        'such as "06:00". null: `within` says it.',
    )
    within_s: Duration | None = Field(
        default=None,
        alias="within",
        description="How long a request may wait from when it was handed in until it is done, a duration. "
        "null: `done_by` says it.",
    )
    backlog: str = Field(
        min_length=1,
        description="PromQL whose values add up to the requests that wait, such as the depth of the batch "
        'system\'s queue: rabbitmq_queue_messages{queue="mail"}.',
    )
    oldest: str | None = Field(
        default=None,
        min_length=1,
        description="PromQL whose highest value is how long the oldest of them has waited, in seconds; "
        "`within` needs it. null: nobody knows, and `done_by` ends the wait.",
    )

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> "DeferralSettings":
        problems: Problems = []
        if (self.done_by is None) == (self.within_s is None):
            problems.append(((), "ends by `done_by` or by `within`, one of them"))
        elif self.within_s is not None and self.oldest is None:
            problems.append((("within",), "needs `oldest`: what is due cannot be told without"))
        elif self.done_by is not None and self.oldest is not None:
            problems.append((("oldest",), "is not asked for where `done_by` ends the wait; leave it out"))
        refuse(problems)
        return self

    def to_policy(self, timezone: str) -> Deferral:
        """Return until when requests may wait; times of the day are those of `timezone`."""
        return Deferral(self.done_by, self.within_s, timezone if self.done_by is not None else "UTC")
