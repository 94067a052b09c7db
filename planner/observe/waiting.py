"""Count what waits for its first token, and tell a queue that cannot be read from an empty one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.observation import QUEUE_GAP, Gap, QueueReading
from planner.observe.counters import GRACE_S, MISSED_SCRAPES, scrape_interval_s, target_of
from planner.observe.samples import Samples

# A gauge is what it was at its last sample for at least this long.
FRESH_S = 60.0

_Targets = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold what one class's gauges say: requests that wait, and their prompt tokens to compute.

    `serving` are the targets that count its requests, `told` those whose gauge of waiting requests was read.
    `doubt` says why the figures are not to be used.
    """

    requests: float = 0.0
    tokens: float = 0.0
    serving: _Targets = frozenset()
    told: _Targets = frozenset()
    doubt: str | None = None


def waiting(
    gauges: Sequence[Samples],
    counters: Sequence[Samples],
    up: Sequence[Samples],
    labels: Sequence[str],
    now_s: float,
) -> Waiting:
    """Read the gauges of a class whose requests the counters count; `labels` tell the targets.

    A target whose scrapes fail still holds its queue, until it is taken for gone.
    """
    read = _fresh(gauges, now_s)
    failing = {target_of(u, labels) for u in up if u.values[-1] != 1}
    lately = [s for s in counters if target_of(s, labels) in failing and now_s - s.at_s[-1] <= GRACE_S]
    return Waiting(
        max(sum(float(s.values[-1]) for s in read), 0.0),
        serving=frozenset(target_of(s, labels) for s in (*_fresh(counters, now_s), *lately)),
        told=frozenset(target_of(s, labels) for s in read),
    )


def queue(metrics: Sequence[str], classes: Mapping[str, Waiting]) -> tuple[QueueReading | None, Gap | None]:
    """Add up the classes; `None` and a Gap where the preset names `metrics` and some cannot be read.

    A target need not tell its queue per class: often its gauge has no such label and counts them all.
    """
    if not metrics:
        return None, None
    doubts = [f"of {name}: {one.doubt}" for name, one in classes.items() if one.doubt is not None]
    told = frozenset[tuple[str, ...]]().union(*(one.told for one in classes.values()))
    silent = frozenset[tuple[str, ...]]().union(*(one.serving for one in classes.values())) - told
    if silent or not (told or doubts):
        doubts.append(f"no samples of {' or '.join(metrics)}" + (_from(silent) if told else ""))
    if doubts:
        return None, Gap(QUEUE_GAP, "; ".join(doubts))
    requests = sum(one.requests for one in classes.values())
    return QueueReading(round(requests), sum(one.tokens for one in classes.values())), None


def _fresh(series: Sequence[Samples], now_s: float) -> list[Samples]:
    reach_s = max(MISSED_SCRAPES * scrape_interval_s(series), FRESH_S)
    return [s for s in series if now_s - s.at_s[-1] <= reach_s]


def _from(targets: _Targets) -> str:
    first = ", ".join(filter(None, min(targets)))
    return f" from {first}" + (f" and {len(targets) - 1} more" if len(targets) > 1 else "")
