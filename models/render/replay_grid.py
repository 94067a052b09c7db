"""Lay out what a replay measured: policies side by side, classes, and where promises were missed."""

from models.render.formats import UNKNOWN, brief, number, ratio, seconds, share, time_of_day
from models.render.grid import Column, Grid
from models.render.misses import Miss
from models.render.verdict import REFERENCE, named, subject, versus
from models.simulation.scorecard import PolicyResult, ReplayResult
from models.values import Role, Slo


def verdict_grid(result: ReplayResult) -> Grid:
    """Lay out one row per policy; the policy under test is strong."""
    classes = _class_names(result)
    roles = _roles(result)
    columns = (
        Column("policy"),
        Column("attained", "share of all requests that kept every promised limit", numeric=True),
        *(
            Column(name, f"share of {name} requests that kept their promise", numeric=True)
            for name in classes
        ),
        Column("gpu-hours", "GPUs starting, ready and draining, over time", numeric=True),
        Column(f"vs {REFERENCE}", f"GPU-hours over those of {REFERENCE}", numeric=True),
        *_quantiles("ttft", ("p50", "p95", "p99")),
        *_quantiles("itl", ("p99",)),
        Column("scale events", "times that a replica count changed", numeric=True),
        *_quantiles("itl", ("p50", "p95"), wide=True),
        *_quantiles("e2e", ("p50", "p95", "p99"), wide=True),
        Column("goodput", "requests per second that kept their promise", numeric=True, wide=True),
        *(
            Column(f"{role} gpu-h", f"GPU-hours of {role} replicas", numeric=True, wide=True)
            for role in roles
        ),
        *(
            Column(name, hint, numeric=True, wide=True)
            for name, hint in (
                ("requests", "that arrived"),
                ("completed", ""),
                ("rejected", ""),
                ("in flight", "not finished when the replay ended"),
                ("skipped rows", "lines of the trace that could not be read"),
                ("decisions", "ticks of the policy"),
                ("policy cpu", "processor time of the policy"),
                ("wall", "time that the replay took"),
            )
        ),
    )
    tested = subject(result)
    strong = frozenset(i for i, p in enumerate(result.policies) if p is tested)
    rows = tuple(_row(p, result, classes, roles) for p in result.policies)
    return Grid("Policies on the same requests", columns, rows, _absences(result), strong)


def class_grid(result: ReplayResult, policy: PolicyResult) -> Grid:
    """Lay out one policy's request classes with what was promised to them."""
    promised = {c.name: c.slo for c in result.classes}
    columns = (
        Column("class"),
        Column("promise"),
        Column("requests", numeric=True),
        Column("attained", "share of all its requests that kept every promised limit", numeric=True),
        Column("target", numeric=True),
        *_quantiles("ttft", ("p50", "p95", "p99")),
        *_quantiles("itl", ("p99",)),
        *_quantiles("e2e", ("p99",)),
    )
    rows = []
    for scored in policy.classes:
        slo = promised.get(scored.name)
        rows.append(
            (
                scored.name,
                promise(slo) if slo else UNKNOWN,
                number(scored.requests),
                share(scored.slo_attainment),
                share(slo.target) if slo and not slo.throughput_only else UNKNOWN,
                seconds(scored.ttft_s.p50),
                seconds(scored.ttft_s.p95),
                seconds(scored.ttft_s.p99),
                seconds(scored.itl_s.p99),
                seconds(scored.e2e_s.p99),
            )
        )
    return Grid(f"Request classes under {policy.policy}", columns, tuple(rows))


def miss_grid(misses: tuple[Miss, ...], policy: str) -> Grid:
    """Lay out the spells in which a class missed its target, the costliest first."""
    columns = (
        Column("from (UTC)"),
        Column("until"),
        Column("class"),
        Column("missed", "requests that did not keep their promise", numeric=True),
        Column("attained", "share of the class's requests in the spell", numeric=True),
        Column("load", "its mean requests per second", numeric=True),
        Column("what the fleet was doing"),
    )
    rows = tuple(
        (
            time_of_day(m.start_s),
            time_of_day(m.end_s),
            m.request_class,
            number(round(m.missed_requests)),
            share(m.attainment),
            f"{number(m.arrivals_rps)}/s",
            m.circumstance,
        )
        for m in misses
    )
    return Grid(f"Where {policy} missed", columns, rows)


def promise(slo: Slo) -> str:
    """Say a promise: TTFT 300 ms, end-to-end 500 ms at p99."""
    limits = (("TTFT", slo.ttft_s), ("ITL", slo.itl_s), ("end-to-end", slo.e2e_s))
    said = [f"{name} {seconds(limit)}" for name, limit in limits if limit is not None]
    return f"{', '.join(said)} at p{slo.quantile * 100:g}" if said else "throughput only"


def _row(
    policy: PolicyResult, result: ReplayResult, classes: list[str], roles: list[Role]
) -> tuple[str, ...]:
    attained = {c.name: c.slo_attainment for c in policy.classes}
    ttft, itl, e2e = policy.ttft_s, policy.itl_s, policy.e2e_s
    return (
        policy.policy,
        share(policy.slo_attainment),
        *(share(attained.get(name)) for name in classes),
        number(policy.gpu_hours),
        ratio(versus(policy, named(result, REFERENCE))),
        *(seconds(v) for v in (ttft.p50, ttft.p95, ttft.p99, itl.p99)),
        number(policy.scale_events),
        *(seconds(v) for v in (itl.p50, itl.p95, e2e.p50, e2e.p95, e2e.p99)),
        f"{number(policy.goodput_rps)}/s",
        *(number(policy.gpu_hours_by_role.get(role)) for role in roles),
        *(number(n) for n in (policy.requests, policy.completed, policy.rejected, policy.in_flight)),
        number(policy.skipped_rows),
        brief(policy.decisions),
        seconds(policy.policy_cpu_s),
        seconds(policy.wall_s),
    )


def _absences(result: ReplayResult) -> tuple[str, ...]:
    """Say why a cell is "-"."""
    notes = []
    if result.policies and named(result, REFERENCE) is None:
        notes.append(f"- in vs {REFERENCE}: it was not replayed")
    for policy in result.policies:
        idle = [c.name for c in policy.classes if c.slo_attainment is None]
        if policy.requests == 0:
            notes.append(f"- for {policy.policy}: no request arrived")
        elif policy.completed == 0:
            notes.append(f"- for {policy.policy}: no request completed")
        elif policy.itl_s.p99 is None:
            notes.append(f"- in itl of {policy.policy}: no request had a second output token")
        notes += [f"- in {name} of {policy.policy}: no request of this class arrived" for name in idle]
    return tuple(notes)


def _quantiles(name: str, which: tuple[str, ...], wide: bool = False) -> list[Column]:
    hints = {
        "ttft": "time to first token, queue included",
        "itl": "time per output token, mean of a request",
        "e2e": "end to end",
    }
    return [Column(f"{name} {q}", f"{hints[name]}: {q} over completed requests", True, wide) for q in which]


def _class_names(result: ReplayResult) -> list[str]:
    """Return the classes in order of first mention; one class alone says what the total says."""
    names = list(dict.fromkeys(c.name for p in result.policies for c in p.classes))
    return names if len(names) > 1 else []


def _roles(result: ReplayResult) -> list[Role]:
    return [role for role in Role if any(role in p.gpu_hours_by_role for p in result.policies)]
