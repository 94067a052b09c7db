"""Say in the configuration what GPUs cost, and when a change of layout is worth its cost."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from config.perhardware import GpuPrice
from config.quantities import Duration, Share
from config.section import Section
from models.policy import ReshapePolicy

_RESHAPE = ReshapePolicy()


class Billed(StrEnum):
    """By what GPUs are paid."""

    NODE = "node"
    GPU = "gpu"


def _one_word(text: str) -> str:
    if len(text) > 12 or any(c.isspace() or c == "/" or not c.isprintable() for c in text):
        raise ValueError("wants one word, such as EUR")
    return text


class PriceSettings(Section):
    """What GPUs cost. With a `miss_price` of some class, the fleet that costs least is aimed at."""

    gpu_h: GpuPrice = Field(
        description="Price of one GPU for an hour. One amount, or one for each hardware that the profile "
        "names: {H100: 2.10, GB200: 6.80}.",
    )
    billed: Billed = Field(
        default=Billed.NODE,
        description="By what GPUs are paid: node counts every node that is not empty whole, as clouds bill "
        "machines; gpu counts the GPUs of replicas, for a cluster that others share.",
    )
    currency: Annotated[str, AfterValidator(_one_word)] = Field(
        default="",
        json_schema_extra={"pattern": r"^[^\s/]{0,12}$"},
        description="Currency of every price of the deployment, as sentences are to show it, such as EUR.",
    )


class ReshapeSettings(Section):
    """When another layout (TP or EP width) is proposed for a role."""

    allowed: bool = Field(
        default=_RESHAPE.allowed,
        description="Whether a proposed layout may be put into effect. false: it is only proposed.",
    )
    payback_s: Duration = Field(
        default=_RESHAPE.payback_s,
        alias="payback",
        description="Time within which what a layout saves must have paid for the switch, a duration: all "
        "its replicas start while the old ones still run.",
    )
    least_saving_ratio: Share = Field(
        default=_RESHAPE.least_saving_ratio,
        alias="least_saving",
        lt=1,
        description="Share of the cost that a layout must save on the mean of the last day; less is within "
        "what a profile is wrong by. At no demand of that day or of the forecast may it cost more.",
    )

    retry_s: Duration = Field(
        default=_RESHAPE.retry_s,
        alias="retry",
        description="Time after which a layout that did not get ready, and was rolled back, is tried again, "
        "a duration.",
    )

    def to_policy(self) -> ReshapePolicy:
        """Return when a layout is proposed."""
        return ReshapePolicy(self.allowed, self.payback_s, self.least_saving_ratio, self.retry_s)
