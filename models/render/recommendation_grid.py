"""Lay out one recommendation: counts per role, forecast, guards and gaps."""

from models.decision import Record, RoleSizing
from models.prediction import median_level
from models.render.formats import UNKNOWN, number, seconds, share, words
from models.render.grid import Column, Grid
from models.values import Role, Signal

SIGNALS = {
    Signal.ARRIVALS: "requests/s",
    Signal.PREFILL_TOKENS: "prefill tokens/s",
    Signal.DECODE_TOKENS: "decode tokens/s",
}

_NEIGHBOUR = "of the class that the count is set for, the share that keeps its promise"


def headline(record: Record) -> str:
    """Say in a few words what a record recommends."""
    changes = [
        f"{role} {record.decision.current[role]} -> {n}" for role, n in record.decision.changes.items()
    ]
    if changes:
        return f"change {words(changes)}"
    return "hold: too little is known to change anything" if record.decision.held else "no change"


def role_grid(record: Record) -> Grid:
    """Lay out one row per role: what runs, what should, and between which counts it may stay."""
    columns = (
        Column("role"),
        Column("current", "replicas asked for now", numeric=True),
        Column("recommended", "replicas after all guards", numeric=True),
        Column("band", "between these counts a change gains nothing", numeric=True),
        Column("uncapped", "replicas needed without budget or ceiling", numeric=True),
        Column("binding", "the limit that sets the count"),
        Column("one fewer", _NEIGHBOUR, numeric=True, wide=True),
        Column("as sized", _NEIGHBOUR, numeric=True, wide=True),
        Column("one more", _NEIGHBOUR, numeric=True, wide=True),
        Column("ready", numeric=True, wide=True),
        Column("starting", numeric=True, wide=True),
        Column("draining", numeric=True, wide=True),
        Column("sized", "replicas before the guards", numeric=True, wide=True),
    )
    rows = tuple(_role_row(record, role) for role in record.decision.final)
    notes = [] if record.sizing else [f"- in band, uncapped, binding: {_unsized(record)}"]
    return Grid(f"Recommendation for {record.deployment}", columns, rows, tuple(notes), _changing(record))


def demand_grid(record: Record) -> Grid:
    """Lay out what was measured and what is expected, per class and signal."""
    columns = (
        Column("class"),
        Column("signal"),
        Column("now", "measured over the last window", numeric=True),
        Column("expected", "highest point of the median path", numeric=True),
        Column("up to", "highest point of the highest path", numeric=True),
        Column("model", "what forecasts it"),
        Column("coverage", "share of recent actuals at or under the operating quantile", numeric=True),
        Column("why", wide=True),
    )
    rows, notes = [], list(record.forecast.reasons)
    for name, demand in record.observation.demand.items():
        for signal, unit in SIGNALS.items():
            now = demand.value(signal)
            path = record.forecast.signals.get(name, {}).get(signal)
            expected = up_to = coverage = model = why = UNKNOWN
            if path:
                peaks = path.peak(float("inf"))
                expected = number(peaks[median_level(path.levels)])
                up_to = f"{number(peaks[-1])} (p{path.levels[-1] * 100:g})"
                coverage, model, why = share(path.coverage), path.model, path.why
                if path.fallback:
                    notes.append(f"{name} {unit}: recent demand counts, not the forecast: {path.fallback}")
                if path.trouble:
                    notes.append(f"{name} {unit}: an older fit answers: {path.trouble}")
            rows.append((name, unit, number(now), expected, up_to, model, coverage, why))
    return Grid("Demand, measured and expected", columns, tuple(rows), tuple(notes))


def guard_grid(record: Record) -> Grid:
    """Lay out each change that a guard made to the sized counts."""
    columns = (
        Column("guard"),
        Column("role"),
        Column("before", numeric=True),
        Column("after", numeric=True),
        Column("reason"),
        Column("in words"),
    )
    rows = tuple(
        (a.guard, a.role.value, str(a.before), str(a.after), a.reason.value.replace("_", " "), a.sentence)
        for a in record.decision.adjustments
    )
    return Grid("What the guards changed", columns, rows)


def promise_grid(record: Record) -> Grid:
    """Lay out the attainment per class that sizing predicts for its fleet, and what latency is seen now."""
    columns = (
        Column("class"),
        Column(
            "predicted", "share of requests that will keep their promise with the sized fleet", numeric=True
        ),
        Column("ttft p50", "seen now", numeric=True),
        Column("ttft p90", "seen now", numeric=True),
        Column("itl p50", "seen now", numeric=True),
        Column("itl p90", "seen now", numeric=True),
    )
    predicted = record.sizing.attainment if record.sizing else {}
    names = list(dict.fromkeys((*predicted, *record.observation.latency)))
    rows = []
    for name in names:
        seen = record.observation.latency.get(name)
        readings = (seen.ttft_p50_s, seen.ttft_p90_s, seen.itl_p50_s, seen.itl_p90_s) if seen else (None,) * 4
        rows.append((name, share(predicted.get(name)), *(seconds(r) for r in readings)))
    return Grid("Promises", columns, tuple(rows))


def _role_row(record: Record, role: Role) -> tuple[str, ...]:
    decision, pool = record.decision, record.observation.pools.get(role)
    sized = record.sizing.roles.get(role) if record.sizing else None
    return (
        role.value,
        str(decision.current[role]),
        str(decision.final[role]),
        f"{sized.lower}-{sized.upper}" if sized else UNKNOWN,
        str(sized.uncapped) if sized else UNKNOWN,
        _binding(sized),
        *_neighbours(record, sized),
        str(pool.ready) if pool else UNKNOWN,
        str(len(pool.starting)) if pool else UNKNOWN,
        str(pool.draining) if pool else UNKNOWN,
        str(sized.target) if sized else UNKNOWN,
    )


def _binding(sized: RoleSizing | None) -> str:
    if sized is None:
        return UNKNOWN
    limit = sized.binding.value.replace("_", " ")
    return f"{limit} ({sized.binding_class})" if sized.binding_class else limit


def _neighbours(record: Record, sized: RoleSizing | None) -> tuple[str, str, str]:
    """Write what one fewer, the sized count and one more attain for the class that the count is set for."""
    if record.sizing is None or sized is None or sized.binding_class is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    name = sized.binding_class
    fewer, more = (a.attainment.get(name) if a else None for a in (sized.fewer, sized.more))
    return share(fewer), share(record.sizing.attainment.get(name)), share(more)


def _unsized(record: Record) -> str:
    reasons = list(dict.fromkeys(a.sentence for a in record.decision.adjustments)) or list(
        record.forecast.reasons
    )
    return "; ".join(reasons) or "nothing was sized"


def _changing(record: Record) -> frozenset[int]:
    return frozenset(i for i, role in enumerate(record.decision.final) if role in record.decision.changes)
