"""Build what a sweep in a cluster takes: inputs, points, results."""

from dataclasses import replace

from models.artifact import Effort, EngineLimits, LeftOut, Phase
from models.values import Parallelism, Role
from profiler.jobs.inputs import Inputs, Shard
from profiler.jobs.manifests import Kind, PodShape
from profiler.measure.backend import Measurement, Replica, SweepPoint
from profiler.order import Order
from profiler.store import Entry
from profiler.sweep import Swept
from tests.unit.deployed.stage import TEMPLATE

TP1, TP4 = Parallelism(tp=1), Parallelism(tp=4)
SHAPE = PodShape("headgate:1", 2)
KINDS = (
    Kind("apps", "deployments", ("small-tp1", "small-tp4")),
    Kind("", "services", ("small-tp1", "small-tp4")),
)
REPLICA = Replica(EngineLimits(8, 1024), 1e6, 0.0, 0.02, 0.0, "measured", start_s=95.0)


def inputs(shards: int = 2) -> Inputs:
    """Return the inputs of a sweep of two layouts."""
    dealt = (
        Shard(((Role.PREFILL, TP1), (Role.DECODE, TP1)), 100, 30.0),
        Shard(((Role.PREFILL, TP4), (Role.DECODE, TP4)), 100, 90.0),
    )
    order = Order(model="gpt-oss-120b", hardware="gb200", backend="job")
    return Inputs("small", "lab", order, TEMPLATE, dealt[:shards], "job gpt-oss-120b")


def entry(tokens: float, layout: Parallelism = TP1, seconds: float = 0.05) -> Entry:
    """Return the measurement of a prefill point."""
    return Entry(
        SweepPoint(Role.PREFILL, layout, Phase.PREFILL, tokens, 1.0), Measurement(seconds, 0.001, 3), 1.5
    )


def swept(layout: Parallelism = TP1, points: int = 3) -> Swept:
    """Return what a shard found: nothing that works."""
    return Swept((), (LeftOut(Role.DECODE, layout.name, "why not"),), Effort(points, 9, 1.5))


def other(given: Inputs) -> Inputs:
    """Return the same sweep of another model."""
    return replace(given, order=replace(given.order, model="qwen3-32b"))
