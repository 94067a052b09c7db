"""Write recommendations: tables for a terminal, one document for a program."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.observation import Gap
    from models.prediction import SignalForecast
    from planner.commands.answer import Answer
    from planner.recommend import Recommendation


def written(answers: Sequence[Answer], output: str, alone: bool) -> str:
    """Write answers as `output`; `alone` is one deployment and no list of them."""
    if output == "html":
        from models.render.outlook_lines import outlook_lines
        from models.render.recommendation_page import render

        return render(
            [each.whole_record() for each in answers if each.made is not None],
            {each.deployment: outlook_lines(each.outlook) for each in answers},
        )
    if output in ("csv", "markdown"):
        from models.render.exchange import to_csv
        from planner.commands.recommended_rows import markdown, rows

        return to_csv(rows(answers)) if output == "csv" else markdown(answers)
    if output in ("table", "wide"):
        return _tables(answers, wide=output == "wide")
    plain = [_document(each) for each in answers]
    body = plain[0] if alone else {"schema": "headgate/recommendations/v1", "recommendations": plain}
    if output == "json":
        return json.dumps(body, indent=2) + "\n"
    from config.yamltext import write_yaml

    return write_yaml(body)


def _document(answer: Answer) -> dict[str, Any]:
    if answer.made is None:
        return {"deployment": answer.deployment, "error": answer.error}
    return _plain(answer.made, answer.extra) | {"outlook": _outlook(answer), "patches": list(answer.patches)}


def _outlook(answer: Answer) -> dict[str, Any] | None:
    from models import codec
    from models.plan.outlook import MONTH_H

    found = answer.outlook
    if found is None:
        return None
    saves = {"saves_gpu_h": found.saves_gpu_h, "saves_money": found.saves_money}
    return {**codec.to_plain(found), **saves, "hours": MONTH_H}


def _tables(answers: Sequence[Answer], wide: bool) -> str:
    """Write each deployment's table, then how those that share a pool share it."""
    from models.render.tables import pool_table

    made = [each.made.record for each in answers if each.made is not None]
    parts = [_table(each.made, each, wide) for each in answers if each.made is not None]
    parts += [f"{each.deployment}: cannot be seen: {each.error}\n" for each in answers if each.made is None]
    pools = pool_table(made, wide)
    return "\n".join([*parts, pools] if pools else parts)


def _table(made: Recommendation, answer: Answer, wide: bool) -> str:
    from models.render.outlook_lines import outlook_lines
    from models.render.tables import recommendation_table

    lines = [recommendation_table(made.record, wide), *_demand_lines(made), *_pool_lines(made)]
    lines += [f"{what}: {said}." for what, said in outlook_lines(answer.outlook)]
    lines += [str(each["command"]) for each in answer.patches if wide]
    if answer.checked and made.record.decision.changes:
        lines.append(f"Cluster: {made.record.outcome.detail}.")
    # The table tells what the observation lacked; these come from elsewhere.
    elsewhere = [gap for gap in (*made.gaps, *answer.extra) if gap not in made.record.observation.gaps]
    lines += [f"Unknown: {gap.what}: {gap.reason}" for gap in elsewhere]
    return "\n".join(lines) + "\n"


def _demand_lines(made: Recommendation) -> list[str]:
    """Say what demand was seen, over which window."""
    from models.units import show_count, show_duration

    seen = made.record.observation
    if seen.demand_at_s is None:
        return ["Demand: unknown."]
    window = f"over {show_duration(seen.window_s)} to {_time(seen.demand_at_s)}"
    lines = []
    for name, demand in seen.demand.items():
        parts = [
            f"{show_count(value)} {unit}"
            for value, unit in (
                (demand.arrivals_rps, "requests/s"),
                (demand.prefill_tokens_per_s, "prefill tokens/s"),
                (demand.decode_tokens_per_s, "decode tokens/s"),
            )
            if value is not None
        ]
        lines.append(f"Demand of {name} {window}: {', '.join(parts) or 'unknown'}.")
    return lines


def _pool_lines(made: Recommendation) -> list[str]:
    """Say what keeps replicas from starting, each reason once."""
    lines = []
    for role, pool in made.record.observation.pools.items():
        reasons = [(each.obstacle, each.stuck) for each in pool.starting if each.stuck is not None]
        for obstacle, words in dict.fromkeys(reasons):
            count = reasons.count((obstacle, words))
            of = f" ({obstacle.value.replace('_', ' ')})" if obstacle is not None else ""
            lines.append(f"Stuck: {count} of {role}{of}: {words}")
    return lines


def _plain(made: Recommendation, extra: tuple[Gap, ...]) -> dict[str, Any]:
    """Return the recommendation as plain data: `headgate/recommendation/v1`."""
    from models import codec
    from models.readiness import with_readiness

    record = made.record
    plan = with_readiness(made.policy.plan, record.readiness)
    seen, horizon_s = record.observation, plan.ready_horizon_s()
    return {
        "schema": "headgate/recommendation/v1",
        "deployment": record.deployment,
        "at": _time(seen.at_s),
        "change": bool(record.decision.changes),
        "held": record.decision.held,
        "summary": str(record.decision),
        "demand": {
            "window_s": seen.window_s,
            "measured_at": None if seen.demand_at_s is None else _time(seen.demand_at_s),
            "age_s": seen.demand_age_s,
            "classes": codec.to_plain(dict(seen.demand)),
        },
        "latency": codec.to_plain(dict(seen.latency)),
        "queue": None if seen.queue is None else codec.to_plain(seen.queue),
        "pools": codec.to_plain(dict(seen.pools)),
        "start_up": {
            role.value: {key: value for key, value in codec.to_plain(each).items() if key != "seen"}
            for role, each in record.readiness.items()
        },
        "history": codec.to_plain({name: dict(one) for name, one in made.history.items()}),
        "forecast": {
            "horizon_s": horizon_s,
            "classes": {
                name: {signal.value: _forecast(path, horizon_s) for signal, path in signals.items()}
                for name, signals in record.forecast.signals.items()
            },
            "reasons": list(record.forecast.reasons),
        },
        "share": None if record.share is None else codec.to_plain(record.share),
        "sizing": None if record.sizing is None else codec.to_plain(record.sizing),
        "decision": codec.to_plain(record.decision),
        "outcome": codec.to_plain(record.outcome),
        "gaps": [{"what": gap.what, "reason": gap.reason} for gap in (*made.gaps, *extra)],
        "config_digest": record.config_digest,
        "profile_digest": record.profile_digest,
        "version": record.version,
    }


def _forecast(path: SignalForecast, horizon_s: float) -> dict[str, Any]:
    """Return the quantiles of the highest demand until new capacity could be ready."""
    return {
        "quantiles": dict(zip((f"{level:g}" for level in path.levels), path.peak(horizon_s), strict=True)),
        "model": path.model,
        "why": path.why,
        "fallback": path.fallback,
        "coverage": path.coverage,
    }


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
