"""Make endpoint backends for tests, against the engine of `tests.openai_engine`."""

from typing import Any

from config import reference
from models.artifact import Phase
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, SweepPoint
from profiler.measure.endpoint.backend import Endpoint
from profiler.measure.endpoint.policy import EndpointPolicy
from profiler.measure.roofline.estimator import Roofline

TP1 = Parallelism()


def prior() -> Roofline:
    """Return the estimator of the same cards."""
    return Roofline(
        reference.architecture("gpt-oss-120b"), reference.hardware("gb200"), reference.engine("trtllm")
    )


def endpoint(url: str, **changes: Any) -> Endpoint:
    """Return a backend for an endpoint that serves TP1 aggregated; `changes` go to the policy."""
    policy: dict[str, Any] = {
        "url": url,
        "model": "tiny",
        "deployed": {Role.AGGREGATED: TP1},
        "vocabulary": 4096,
        "max_context_tokens": 16_384,
    }
    return Endpoint(EndpointPolicy(**{**policy, **changes}), prior())


def point(phase: Phase, batch: int, tokens: int, cached: int = 0) -> SweepPoint:
    """Ask for a point of the aggregated layout."""
    return SweepPoint(Role.AGGREGATED, TP1, phase, tokens, batch, cached)


def measured(backend: Endpoint, asked: SweepPoint) -> Measurement:
    """Measure a point that must not be refused."""
    found = backend.measure(asked)
    assert isinstance(found, Measurement), found
    return found


def refused(backend: Endpoint, asked: SweepPoint) -> str:
    """Return why a point is refused."""
    found = backend.measure(asked)
    assert isinstance(found, Refusal), found
    return found.reason
