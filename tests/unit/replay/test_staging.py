"""A stage knows only what was known before its trace, at the rate that is replayed."""

from pathlib import Path

import pytest

from models.errors import TraceError
from models.policy import ClassMatch, DecidePolicy, ForecastPolicy, TickPolicy
from models.values import Signal
from planner.replay import Stage
from planner.staging import Asked, stage_for
from tests import builders

BEGIN_S = 1_700_000_040  # on a whole minute


def stage(folder: Path, minutes: range, rate_scale: float = 1.0) -> tuple[Stage, tuple[str, ...]]:
    """Stage two requests, with a history of one request a second in these minutes around their beginning."""
    trace, history = folder / "trace.csv", folder / "history.csv"
    trace.write_text(f"timestamp,input_tokens,output_tokens\n{BEGIN_S},1000,20\n{BEGIN_S + 600},1000,20\n")
    rows = "".join(f"{BEGIN_S + 60 * minute},60,60000,1200\n" for minute in minutes)
    history.write_text(f"timestamp,requests,input_tokens,output_tokens\n{rows}")
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy([builders.CHAT]), DecidePolicy())
    asked = Asked(str(trace), history, rate_scale)
    return stage_for(asked, policy, builders.layouts(), [ClassMatch("chat")])


def test_history_is_what_was_before_the_trace(tmp_path: Path) -> None:
    found, notes = stage(tmp_path, range(-30, 0))

    assert len(found.history["chat"][Signal.ARRIVALS]) == 30
    assert notes == ()


def test_what_came_later_is_left_out_of_the_history_and_told(tmp_path: Path) -> None:
    found, notes = stage(tmp_path, range(-30, 30))

    arrivals = found.history["chat"][Signal.ARRIVALS]
    assert (len(arrivals), arrivals.end_s) == (30, BEGIN_S)
    assert notes == ("history.csv: what lies after the trace begins is left out: nobody knew it then",)


def test_a_history_of_later_times_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nothing from before the trace begins, 2023-11-14T22:14:00Z"):
        stage(tmp_path, range(30))


def test_a_history_has_the_rate_of_the_replay(tmp_path: Path) -> None:
    found, _ = stage(tmp_path, range(-30, 0), rate_scale=4.0)

    past = found.history["chat"]
    assert past[Signal.ARRIVALS].values.tolist() == pytest.approx([4.0] * 30)
    assert past[Signal.DECODE_TOKENS].values.tolist() == pytest.approx([80.0] * 30)
