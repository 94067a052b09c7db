"""State what arrives at a fleet: per class a promise, a rate and the lengths of its requests."""

from dataclasses import dataclass

from models.mix import RequestMix
from models.values import RequestClass


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """Hold one class's load.

    `rate_rps` weighs the class in attainment. `prefill_rps` and `decode_rps` are the rates of requests of
    this mix that carry the same work as the class's prefill and decode tokens per second: they differ from
    `rate_rps` when work was forecast directly and the lengths drifted.
    """

    request_class: RequestClass
    rate_rps: float
    prefill_rps: float
    decode_rps: float
    mix: RequestMix

    @classmethod
    def steady(cls, request_class: RequestClass, rate_rps: float, mix: RequestMix) -> "ClassLoad":
        """Make a load whose work follows from its rate and mix."""
        return cls(request_class, rate_rps, rate_rps, rate_rps, mix)
