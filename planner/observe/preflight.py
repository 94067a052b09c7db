"""Check at start that the series which the preset names exist, and say what each missing one costs."""

from collections.abc import Sequence

from models.metric_names import MetricNames
from models.observation import QUEUE_GAP, Gap
from planner.observe import queries
from planner.observe.live import Target
from planner.observe.prometheus import PrometheusServer
from planner.observe.queries import Matcher
from planner.observe.samples import NAME

# Series that stopped this long ago are not what a running deployment exports.
RECENT_S = 3600.0


def missing_series(
    server: PrometheusServer, names: MetricNames, target: Target, now_s: float
) -> tuple[Gap, ...]:
    """Return a Gap for everything that the preset's series cannot tell now: per class, the queue for all.

    Raises ObserveError when the server does not answer, or when classes cannot be told apart.
    """
    gaps: list[Gap] = []
    anything: set[str] = set()
    for name, matchers in target.matchers(names).items():
        there = _present(server, _wanted(names), matchers, now_s)
        anything |= there
        if not there.intersection((*names.started, *names.completed)):
            gaps.append(Gap(f"demand of {name}", _nothing(server, names, matchers, now_s)))
            continue
        gaps += [
            Gap(f"{what} of {name}", f"no {' or '.join(_shown(alternatives))}: {cost}")
            for alternatives, what, cost in _costs(names)
            if alternatives and not there.intersection(alternatives)
        ]
    # A gauge of what waits often has no label that tells classes apart: one of them is enough.
    if names.waiting and anything and not anything.intersection(names.waiting):
        lost = f"no {' or '.join(names.waiting)}: a backlog is not seen, only forecast"
        gaps.append(Gap(QUEUE_GAP, lost))
    return tuple(gaps)


def _present(
    server: PrometheusServer, wanted: Sequence[str], matchers: Sequence[Matcher], now_s: float
) -> set[str]:
    found = server.instant(queries.present(wanted, matchers, RECENT_S), now_s)
    return {s.labels.get(NAME, "") for s in found}


def _nothing(server: PrometheusServer, names: MetricNames, matchers: Sequence[Matcher], now_s: float) -> str:
    """Say why no request counter is there: another model, other labels, or another stack."""
    counted = [*names.started, *names.completed]
    where = ", ".join(map(str, matchers))
    said = f"no samples of {' or '.join(counted)} with {where} in the last hour"
    anywhere = server.instant(queries.by_label(counted, names.model_label, RECENT_S), now_s)
    if not anywhere:
        return (
            f"{said}, nor with any other labels: is the preset {names.preset!r} right, "
            "is the serving stack scraped, and has it served a request yet?"
        )
    models = sorted({s.labels.get(names.model_label, "") for s in anywhere})
    return (
        f"{said}; there are series with {names.model_label} = {', '.join(map(repr, models))}: correct "
        f"`model`, or set prometheus.labels.{names.model_label}"
    )


def _wanted(names: MetricNames) -> list[str]:
    listed = [n for alternatives, _, _ in _costs(names) for n in alternatives]
    return [*names.started, *names.completed, *listed, *names.waiting]


def _costs(names: MetricNames) -> list[tuple[tuple[str, ...], str, str]]:
    """Return what each kind of series is good for: alternatives, what they tell, what is lost without."""

    def parts(histograms: Sequence[str], part: str) -> tuple[str, ...]:
        return tuple(f"{h}_{part}" for h in histograms)

    means = "demand in tokens stays unknown and nothing can be sized"
    spread = "lengths are taken as all alike, which understates the tail"
    return [
        (names.started, "arrivals", "read from completions instead, late and low while a queue grows"),
        (tuple(r.whole for r in names.input_ratios()), "prompt lengths", means),
        (tuple(r.whole for r in names.output_ratios()), "output lengths", means),
        (parts(names.input_tokens, "bucket"), "spread of prompts", spread),
        (parts(names.output_tokens, "bucket"), "spread of outputs", spread),
        (
            (*(r.part for r in names.cached), *names.cached_ratios),
            "prefix cache",
            "hits are taken as none, which sizes prefill for every prompt token",
        ),
        (parts(names.ttft, "bucket"), "TTFT", "observed latency is not reported"),
        (parts(names.itl, "bucket"), "ITL", "observed latency is not reported"),
    ]


def _shown(alternatives: Sequence[str]) -> list[str]:
    return [name.removesuffix("_bucket") for name in dict.fromkeys(alternatives)]
