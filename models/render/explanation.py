"""Write the path of one decision for a person at night: outcome, seen, expected, sized and guarded."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

from models.decision import Record
from models.observation import LatencyReading, PoolState
from models.prediction import SignalForecast, median_level
from models.render.formats import moment, number, plural, seconds, share, words
from models.render.grid import plain
from models.render.recommendation_grid import headline
from models.units import show_count, show_duration
from models.values import Signal

# Columns that headings take, and that a line has.
_WIDTH, _LINE = 10, 110
_TOKENS = {Signal.PREFILL_TOKENS: "prefill tokens/s", Signal.DECODE_TOKENS: "decode tokens/s"}


def explanation(
    record: Record,
    horizon_s: float | None = None,
    why_not: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Write one record from the top down, then `why_not` other counts, then `notes`; ends with a newline.

    `horizon_s` is how far ahead an order had to be placed (`None`: not known, the whole forecast is told).
    Control characters from outside are replaced.
    """
    lines = [f"{record.deployment}, {moment(record.observation.at_s)}: {headline(record)}", ""]
    for title, said in (
        ("Outcome", _outcome(record)),
        ("Seen", _seen(record)),
        ("Expected", _expected(record, horizon_s)),
        ("Sized", _sized(record)),
        ("Guards", _guards(record)),
        ("Why not", why_not),
        ("Note", notes),
        ("Tick", (f"{record.tick_id}, by Headgate {record.version}",)),
    ):
        blank = ""
        for i, line in enumerate(said):
            head = f"{blank if i else title:{_WIDTH}}"
            lines += wrap(plain(line), _LINE, initial_indent=head, subsequent_indent=f"{blank:{_WIDTH + 2}}")
    return "\n".join(lines) + "\n"


def _outcome(record: Record) -> list[str]:
    status, detail = record.outcome.status.value, record.outcome.detail
    return [f"{status}: {detail}" if detail else status]


def _seen(record: Record) -> list[str]:
    seen = record.observation
    lines = []
    age = f", {seconds(seen.demand_age_s)} old" if (seen.demand_age_s or 0.0) >= 1.0 else ""
    for name, demand in seen.demand.items():
        values = ((demand.arrivals_rps, "requests/s"), *((demand.value(s), u) for s, u in _TOKENS.items()))
        told = [f"{show_count(value)} {unit}" for value, unit in values if value is not None]
        over = f"over {show_duration(seen.window_s)}{age}"
        lines.append(f"{name}: {', '.join(told)} {over}" if told else f"{name}: demand unknown")
        if latency := _latency(seen.latency.get(name)):
            lines.append(f"{name}: {latency}")
    lines += [f"{role.value}: {_pool(pool, seen.at_s)}" for role, pool in seen.pools.items()]
    if seen.queue is not None and seen.queue.requests:
        waiting = plural(seen.queue.requests, "request")
        lines.append(f"{waiting} waiting for prefill, {show_count(seen.queue.prefill_tokens)} tokens")
    return lines + [f"unknown: {gap.what}: {gap.reason}" for gap in seen.gaps]


def _latency(reading: LatencyReading | None) -> str:
    if reading is None:
        return ""
    pairs = (
        ("TTFT", reading.ttft_p50_s, reading.ttft_p90_s),
        ("ITL", reading.itl_p50_s, reading.itl_p90_s),
    )
    told = [f"{name} p50 {seconds(p50)}, p90 {seconds(p90)}" for name, p50, p90 in pairs if p50 is not None]
    return "; ".join(told)


def _pool(pool: PoolState, at_s: float) -> str:
    parts = [f"{pool.desired} asked for, {pool.ready} ready"]
    if pool.starting:
        oldest = max(at_s - each.since_s for each in pool.starting)
        parts.append(f"{len(pool.starting)} starting (the oldest for {seconds(max(oldest, 0.0))})")
    parts += sorted({f"stuck: {each.stuck}" for each in pool.starting if each.stuck})
    if pool.draining:
        parts.append(f"{pool.draining} draining")
    flags = (
        (pool.paused, "paused"),
        (pool.paused_scale_in, "may not shrink"),
        (pool.paused_scale_out, "may not grow"),
        (pool.rollout_in_progress, "a rollout is in progress"),
        (pool.pinned_replicas is not None, f"pinned to {pool.pinned_replicas}"),
    )
    return ", ".join([*parts, *(said for holds, said in flags if holds)])


def _expected(record: Record, horizon_s: float | None) -> list[str]:
    lines = []
    for name, signals in record.forecast.signals.items():
        if not signals:
            continue
        main = signals.get(Signal.ARRIVALS) or next(iter(signals.values()))
        until_s = main.offsets_s[-1] if horizon_s is None else horizon_s
        lines.append(f"{name}, highest within {show_duration(until_s)}: {_quantiles(main, until_s)}")
        lines += [
            f"{name}: {plural(len(what), 'signal')} by {model}: {why}{coverage}"
            for (model, why, coverage), what in _by_model(signals).items()
        ]
        lines += [
            f"{name} {signal.value.replace('_', ' ')}: not trusted, recent demand counts: {each.fallback}"
            for signal, each in signals.items()
            if each.fallback
        ]
        lines += [
            f"{name} {signal.value.replace('_', ' ')}: an older fit answers: {each.trouble}"
            for signal, each in signals.items()
            if each.trouble
        ]
    return [*lines, *record.forecast.reasons] or ["nothing: there is no forecast"]


def _quantiles(path: SignalForecast, until_s: float) -> str:
    peaks = path.peak(until_s)
    middle = median_level(path.levels)
    near = min(range(len(path.levels)), key=lambda i: abs(path.levels[i] - 0.9))
    told = [f"p{path.levels[i] * 100:g} {number(peaks[i])}" for i in dict.fromkeys((middle, near, -1))]
    return f"{', '.join(told)} requests/s"


def _by_model(signals: Mapping[Signal, SignalForecast]) -> dict[tuple[str, str, str], list[Signal]]:
    """Group the signals that are forecast alike, so that each reason is told once."""
    found: dict[tuple[str, str, str], list[Signal]] = {}
    for signal, each in signals.items():
        known = each.coverage is not None
        coverage = f"; {share(each.coverage)} of recent actuals within its bound" if known else ""
        found.setdefault((each.model, each.why, coverage), []).append(signal)
    return found


def _sized(record: Record) -> list[str]:
    sizing = record.sizing
    if sizing is None:
        return ["nothing: there was no demand that could be sized for"]
    lines = []
    for role, sized in sizing.roles.items():
        limit = sized.binding.value.replace("_", " ")
        by = f"{limit} of {sized.binding_class}" if sized.binding_class else limit
        lines.append(f"{role.value} {sized.target}: {sized.sentence}")
        band = (
            f"{sized.lower} to {sized.upper} would do" if sized.lower < sized.upper else "no other would do"
        )
        lines.append(f"{role.value} is set by {by}; {band}; without any bound {sized.uncapped}")
    kept = [f"{share(met)} of {name}" for name, met in sizing.attainment.items()]
    lines.append(f"predicted to keep their promise: {words(kept)}")
    if record.burn_rate > 1.0:
        lines.append(f"the error budget may be spent {record.burn_rate:.3g} times as fast as it comes")
    if record.share is not None:
        lines.append(record.share.sentence)
    if sizing.reshape is not None:
        lines.append(sizing.reshape.sentence)
    if sizing.extrapolated:
        lines.append("the profile was read outside what it measured: treat these figures with caution")
    return lines


def _guards(record: Record) -> list[str]:
    lines = [
        f"{a.guard}: {a.role.value} {a.before} -> {a.after}: {a.sentence}"
        for a in record.decision.adjustments
    ]
    return lines or ["none changed anything"]
