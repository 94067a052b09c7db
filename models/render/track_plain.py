"""Turn track records into plain data, for JSON, CSV and the data of a page."""

from collections.abc import Sequence
from typing import Any

from models import codec
from models.render.track_grid import JUDGED, ORACLE, RAN, day_of
from models.render.track_verdict import verdict
from models.track.score import Score
from models.track.summary import Summary

SCHEMA = "headgate/track/v1"


def to_plain(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Return all figures of the track records: `headgate/track/v1`, the schema's name aside."""
    return {"deployments": [_plain(summary) for summary in summaries]}


def rows(summaries: Sequence[Summary]) -> list[dict[str, object]]:
    """Return one flat row for each deployment, span and fleet, as CSV holds them; `None`: not known."""
    found: list[dict[str, object]] = []
    names = list(dict.fromkeys(name for s in summaries for name in s.track.classes))
    for summary in summaries:
        ready = None if summary.judgement is None else summary.judgement.ready
        for days, scored in summary.spans.items():
            fleets = ((JUDGED, scored.judged), (RAN, scored.ran), (ORACLE, scored.oracle))
            for fleet, path in fleets:
                found.append(
                    {
                        "deployment": summary.track.deployment,
                        "span_days": days,
                        "fleet": fleet,
                        "recorded_days": scored.days,
                        "known_ratio": scored.known_ratio,
                        "requests": scored.requests,
                        **{f"attainment_{name}": path.attainment.get(name) for name in names},
                        "missed_requests": path.missed_requests,
                        "gpu_hours": path.gpu_h,
                        "over_gpu_hours": path.over_gpu_h,
                        "under_gpu_hours": path.under_gpu_h,
                        "under_ratio": path.under_ratio,
                        "regret_ratio": path.regret_ratio,
                        "coverage": scored.coverage if fleet == JUDGED else None,
                        "ready": ready,
                    }
                )
    return found


def _plain(summary: Summary) -> dict[str, Any]:
    judgement = summary.judgement
    return {
        "deployment": summary.track.deployment,
        "verdict": str(verdict(summary)),
        "ready": None if judgement is None else judgement.ready,
        "acted": summary.track.acted,
        "checks": [] if judgement is None else codec.to_plain(judgement)["checks"],
        "criteria": codec.to_plain(summary.criteria),
        "spans": [{"span_days": days, **_score(scored)} for days, scored in summary.spans.items()],
        "days": [{"day": day_of(scored), **_score(scored)} for scored in summary.days],
        "records": summary.records,
        "notes": list(summary.notes),
        "passed_over": [codec.to_plain(each) for each in summary.passed_over],
        "version": summary.version,
    }


def _score(scored: Score) -> dict[str, Any]:
    plain: dict[str, Any] = codec.to_plain(scored)
    return plain
