"""Set the stage of a replay: read the trace and its history, or generate the embedded day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.artifact import LayoutProfile
from models.errors import ConfigError, TraceError
from models.policy import ClassMatch, TickPolicy
from models.series import Series
from models.simulation.story import REAL_DAY_S, Story
from models.values import Role, Signal
from planner.observe.demand_history import read_history
from planner.observe.trace import Trace, read_trace
from planner.replay import Stage

DEMO = "demo"
# Each story minute of the embedded day is 10 seconds of traffic at its true rate: 2.7 million requests,
# some twenty seconds a policy.
DEMO_COMPRESSION = 6.0
# A story minute is then 42 ms of traffic: fewer would hold no request at night.
MOST_COMPRESSION = 1440.0
# Beyond this a replay takes hours and more memory than a machine has.
MOST_REQUESTS = 100_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what to replay: a trace file or the embedded day, its history, at what rate, from which seed."""

    trace: str
    history: Path | None = None
    rate_scale: float = 1.0
    seed: int = 0


def stage_for(
    asked: Asked,
    policy: TickPolicy,
    layouts: Mapping[Role, LayoutProfile],
    matches: Sequence[ClassMatch],
) -> tuple[Stage, tuple[str, ...]]:
    """Return the stage, and what a person should know about what was read.

    `demo:N` compresses the embedded day N times. Raises TraceError for input that cannot be used, ConfigError
    for a configuration that does not fit the embedded day.
    """
    told = _story(asked.trace)
    if told is None:
        trace = read_trace(Path(asked.trace), matches)
        workload, skipped, compression = trace.workload, trace.skipped_rows, 1.0
        notes, name = _notes(trace), trace.name
    else:
        missing = [name for name in told.classes if name not in {m.request_class for m in matches}]
        if missing:
            raise ConfigError(
                f"the embedded day has the classes {' and '.join(told.classes)}; the deployment lacks "
                f"{missing[0]}: see config/examples/demo.yaml"
            )
        workload, skipped, compression = told.workload(asked.seed), 0, told.compression
        notes, name = (_compressed(told),) if compression > 1 else (), DEMO
    if asked.rate_scale != 1.0:
        if len(workload) * asked.rate_scale > MOST_REQUESTS:
            raise TraceError(
                f"{name}: at a rate scaled by {asked.rate_scale:g} there are "
                f"{len(workload) * asked.rate_scale:.2g} requests, and at most {MOST_REQUESTS:.0e} can be "
                "replayed; lower --rate-scale, or cut the trace"
            )
        workload = workload.scaled(asked.rate_scale, asked.seed)
        if len(workload) == 0:
            raise TraceError(f"{name}: no request is left at a rate scaled by {asked.rate_scale:g}")
    stage = Stage(
        trace=name,
        workload=workload,
        layouts=layouts,
        classes=policy.plan.classes,
        startup_s={role: pool.startup_s for role, pool in policy.plan.pools.items()},
        router=policy.plan.router,
        budget_gpus=policy.plan.budget_gpus,
        limits=policy.plan.per_hardware(),
        interval_s=policy.plan.interval_s,
        compression=compression,
        seed=asked.seed,
        skipped_rows=skipped,
    )
    history, more = _history(stage, asked, told)
    return replace(stage, history=history), (*notes, *more)


def _history(
    stage: Stage, asked: Asked, told: Story | None
) -> tuple[Mapping[str, Mapping[Signal, Series]], tuple[str, ...]]:
    """Return what was measured before the trace begins, at the rate of the replay, and notes about it."""
    notes: tuple[str, ...] = ()
    if asked.history is not None:
        read = read_history(asked.history, [c.name for c in stage.classes])
        past, notes = read.series, read.notes
    else:
        past = told.history(seed=asked.seed) if told is not None else {}
    begin_s = stage.scale.origin_s
    known = {
        name: {signal: _known_at(begin_s, series, asked.rate_scale) for signal, series in signals.items()}
        for name, signals in past.items()
    }
    if asked.history is None:
        return known, notes
    if not any(series.known.any() for signals in known.values() for series in signals.values()):
        raise TraceError(f"{asked.history}: has nothing from before the trace begins, {_moment(begin_s)}")
    if any(series.end_s > begin_s + series.step_s for each in past.values() for series in each.values()):
        notes += (f"{asked.history.name}: what lies after the trace begins is left out: nobody knew it then",)
    return known, notes


def _known_at(begin_s: float, series: Series, rate_scale: float) -> Series:
    before = series.window(series.start_s, max(begin_s, series.start_s))
    return replace(before, values=before.values * rate_scale)


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _story(trace: str) -> Story | None:
    """Return the embedded day that `demo` or `demo:N` names; a file of that name is written ./demo."""
    name, sign, text = trace.partition(":")
    if name != DEMO:
        return None
    try:
        compression = float(text) if sign else DEMO_COMPRESSION
    except ValueError:
        compression = 0.0
    if not 1 <= compression <= MOST_COMPRESSION:
        raise TraceError(
            f"{trace!r}: write demo, or demo:N with a compression N of at least 1 and at most "
            f"{MOST_COMPRESSION:g}"
        )
    return Story(day_s=REAL_DAY_S / compression)


def _notes(trace: Trace) -> tuple[str, ...]:
    return (trace.summary(),) if trace.skipped_rows or trace.reordered else ()


def _compressed(told: Story) -> str:
    return (
        f"The embedded day is compressed {told.compression:g} times: each minute of it is "
        f"{60 / told.compression:.3g} s of traffic at its true rate; start-up and drain are compressed alike."
    )
