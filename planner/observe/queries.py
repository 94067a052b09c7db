"""Build PromQL: selectors with escaped label matchers, and ranges cut to what Prometheus answers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.errors import ObserveError
from models.policy import ClassMatch

# Prometheus refuses a range query of more points per series; the rest is room for both ends.
MAX_POINTS = 10_800

# No query reads more days than this, a multiple of every step below: the server's time grows with the samples
# that it reads, and has to stay within a limit which is that of a tick's short questions.
MAX_CHUNK_S = 4 * 86_400

# Seconds of age up to which a range is read at a resolution in seconds, finest first: two days at the
# forecast's own minute, two weeks at five, anything older at a quarter of an hour.
RESOLUTIONS: tuple[tuple[float, int], ...] = ((172_800.0, 60), (1_209_600.0, 300), (float("inf"), 900))


@dataclass(frozen=True, slots=True)
class Matcher:
    """Narrow a selector by one label: equal to `value`, or not where `negated`; `regex` is anchored RE2."""

    label: str
    value: str
    negated: bool = False
    regex: bool = False

    def __str__(self) -> str:
        """Show the matcher as PromQL."""
        sign = ("!" if self.negated else "=") + ("~" if self.regex else ("=" if self.negated else ""))
        return f"{self.label}{sign}{quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One range query: Unix seconds, both ends included, both multiples of the step."""

    start_s: int
    end_s: int
    step_s: int


def quoted(value: str) -> str:
    """Write a string literal of PromQL."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def equal(labels: Mapping[str, str]) -> tuple[Matcher, ...]:
    """Turn labels into matchers, in order of label name so that a query is always spelled alike."""
    return tuple(Matcher(label, value) for label, value in sorted(labels.items()))


def one_of(label: str, values: Iterable[str]) -> Matcher:
    """Match any of the values literally."""
    return Matcher(label, "|".join(re.escape(v) for v in sorted(set(values))), regex=True)


def selector(names: Sequence[str], matchers: Sequence[Matcher] = ()) -> str:
    """Select the series of any of the metric names that satisfy every matcher."""
    narrow = ",".join(str(m) for m in matchers)
    if len(names) == 1:
        return f"{names[0]}{{{narrow}}}"
    name = f"__name__=~{quoted('|'.join(names))}"
    return f"{{{name},{narrow}}}" if narrow else f"{{{name}}}"


def latest(names: Sequence[str], matchers: Sequence[Matcher], span_s: float) -> str:
    """Select every raw sample of the last `span_s` seconds."""
    return f"{selector(names, matchers)}[{max(round(span_s), 1)}s]"


def sample_times(name: str, matchers: Sequence[Matcher]) -> str:
    """Ask when each series was last sampled; an unchanged time is how a hole shows behind the look-back."""
    return f"timestamp({selector([name], matchers)})"


def present(names: Sequence[str], matchers: Sequence[Matcher], span_s: float) -> str:
    """Count, per metric name, the series that had a sample in the last `span_s` seconds."""
    return f"count by (__name__) (last_over_time({latest(names, matchers, span_s)}))"


def by_label(names: Sequence[str], label: str, span_s: float) -> str:
    """Count, per value of a label, the series that had a sample in the last `span_s` seconds."""
    return f"count by ({label}) (last_over_time({latest(names, (), span_s)}))"


def carriers(names: Sequence[str], matchers: Sequence[Matcher], labels: Sequence[str], span_s: float) -> str:
    """Count, per values of some labels, the series that had a sample in the last `span_s` seconds."""
    return f"count by ({', '.join(labels)}) (last_over_time({latest(names, matchers, span_s)}))"


def chunks(until_s: float, span_s: float, max_points: int = MAX_POINTS) -> list[Chunk]:
    """Cut the `span_s` seconds before `until_s` into range queries, oldest first.

    The resolution falls with age. Both ends are rounded down to the step; neighbours share a point.
    """
    coarsest_s = RESOLUTIONS[-1][1]
    cuts: list[Chunk] = []
    upper = _floor(until_s, RESOLUTIONS[0][1])
    for age_s, step_s in RESOLUTIONS:
        reaches_back = age_s >= span_s
        lower = _floor(until_s - span_s, step_s) if reaches_back else _floor(until_s - age_s, coarsest_s)
        while upper > lower:
            start = max(lower, upper - step_s * (max_points - 1), upper - MAX_CHUNK_S)
            cuts.append(Chunk(start, upper, step_s))
            upper = start
        if reaches_back:
            break
    return cuts[::-1]


def class_matchers(
    matches: Sequence[ClassMatch], labels: Mapping[str, str]
) -> dict[str, tuple[Matcher, ...]]:
    """Return, per request class, the matchers that select its series.

    A single class takes everything. Of several, each needs labels of its own; the one with none takes
    what the others leave. Prometheus counts requests without their lengths, so lengths cannot tell
    classes apart there.

    Raises ObserveError that names the classes at fault and what to add.
    """
    base = equal(labels)
    if len(matches) == 1:
        return {matches[0].request_class: base + equal(matches[0].labels)}
    blind = [m.request_class for m in matches if not m.labels]
    if len(blind) > 1:
        raise ObserveError(
            f"Prometheus cannot tell the classes {', '.join(blind)} apart: its counters carry no lengths; "
            "give all but one of them labels that their series carry (classes[].match.labels)"
        )
    found = {m.request_class: base + equal(m.labels) for m in matches if m.labels}
    for name in blind:
        wide = [m.request_class for m in matches if len(m.labels) > 1]
        if wide:
            raise ObserveError(
                f"class {name} takes what the others leave, but {', '.join(wide)} matches several labels and "
                "PromQL cannot exclude that; give it one label, or give the rest labels of its own"
            )
        others = [pair for m in matches for pair in m.labels.items()]
        found[name] = base + tuple(Matcher(label, value, negated=True) for label, value in sorted(others))
    return {m.request_class: found[m.request_class] for m in matches}


def _floor(time_s: float, step_s: int) -> int:
    return int(time_s // step_s) * step_s
