"""Pitfalls of data and of configuration; the table of all of them stands in `test_pitfalls.py`."""

from pathlib import Path

import numpy as np
import yaml

from config.clusterstate import read_cluster_state
from models.decision import Record, Status
from models.observation import Observation
from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.prediction import SignalForecast
from models.series import Series
from models.values import Role, Signal
from planner.act.dryrun import DryRun
from planner.forecasting import Forecasting
from planner.loop import Job, run_once
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served, tick
from tests import builders
from tests.demand import DAY_S, SUNDAY_S, diurnal, everywhere, nightly_batch, seen, with_gap
from tests.unit.config.files import VALID, changed, errors, loaded
from tests.unit.observe import http_server
from tests.unit.observe.test_failures import (
    NOW_S,
    POOLS,
    always,
    counter,
    lengths,
    observer,
    run,
    with_counter,
)

PREFILL, DECODE = Role.PREFILL, Role.DECODE
MINUTE_S, HOUR_S = 60.0, 3600.0


def told(past: Series, now_s: float, later: Series | None = None) -> SignalForecast:
    """Forecast arrivals of a class from its past, and from minutes that were seen since."""
    forecasting = Forecasting(ForecastPolicy(), ["chat"], hold_s=1800.0)
    forecasting.seed(everywhere(past))
    for at_s, value in zip(later.times_s, later.values, strict=True) if later is not None else ():
        forecasting.absorb(seen(float(at_s) + MINUTE_S, float(value)))
    return forecasting.forecast(now_s).signals["chat"][Signal.ARRIVALS]


def test_a_failed_query_is_no_empty_queue() -> None:
    """Naive: whatever is not in the answer is 0, so that an error page says that nobody waits."""
    body: dict[str, dict[str, list[float]]] = {}
    naive = max(sum(body.get("data", {}).get("result", [])), 1)
    assert naive == 1

    with http_server.answering(always(500, "<html>boom</html>")) as prometheus:
        failed = run(observer(prometheus.url))
    assert dict(failed.decision.final) == POOLS
    assert failed.decision.held

    # Everything answers but the queue: prefill keeps what may be needed for it, decode goes down.
    with http_server.answering(with_counter(counter())) as prometheus:
        unseen = run(observer(prometheus.url))
    assert unseen.observation.queue is None
    assert unseen.decision.final[PREFILL] == POOLS[PREFILL]
    assert unseen.decision.final[DECODE] < POOLS[DECODE]


def test_one_silent_pod_blocks_nobody_for_long() -> None:
    """Naive: while one target lacks samples the sum is unknown, for as long as its series are listed."""

    def respond(silent_s: float) -> http_server.Respond:
        def answer(request: http_server.Request) -> tuple[int, str]:
            if request.path.endswith("query_range"):
                return 200, http_server.success(lengths())
            if request.query["query"].startswith("up{"):
                moments = [NOW_S - 15.0 * i for i in range(60)][::-1]
                up = [(at, 1 if at <= NOW_S - silent_s else 0) for at in moments]
                return 200, http_server.success([http_server.series("up", up, instance="b")])
            quiet = counter(until_s=NOW_S - silent_s, instance="b")
            waiting = [(NOW_S - 15.0 * i, 0) for i in range(60)][::-1]
            queue = http_server.series("dynamo_frontend_queued_requests", waiting)
            return 200, http_server.success([counter(), quiet, queue])

        return answer

    found: dict[float, Record] = {}
    for silent_s in (120.0, 700.0):
        with http_server.answering(respond(silent_s)) as prometheus:
            found[silent_s] = run(observer(prometheus.url))
    naive = all(pod_s < MINUTE_S for pod_s in (0.0, 700.0))
    assert not naive
    # Two minutes of silence may hide demand; after five whoever is silent serves nobody.
    assert found[120.0].decision.held
    assert not found[700.0].decision.held
    assert found[700.0].observation.demand["chat"].arrivals_rps is not None


def test_a_restart_forgets_no_season() -> None:
    """Naive: a process that begins now knows the minutes since then, and no night."""
    nights = nightly_batch(15, seed=3)
    now_s = SUNDAY_S + 14 * DAY_S + 21 * HOUR_S + 45 * MINUTE_S
    ago_s = now_s - HOUR_S
    naive = told(nights.window(now_s - 10 * MINUTE_S, now_s), now_s)
    assert max(naive.paths[-1]) < 60.0

    never = told(nights.window(0.0, ago_s), now_s, nights.window(ago_s, now_s))
    again = told(nights.window(0.0, now_s), now_s)
    assert again == never
    # The jump to 300 at 22:00 is within reach.
    assert max(again.paths[3]) > 240.0


def test_no_model_stays_what_five_points_made_it() -> None:
    """Naive: the model that five points allow, a level, is chosen once and kept."""
    week = diurnal(7, seed=5)
    now_s = SUNDAY_S + 6 * DAY_S + 14 * HOUR_S
    ahead = round((now_s - SUNDAY_S) / MINUTE_S) + 30
    truth = 20.0 * (1.0 + 0.6 * np.sin(2 * np.pi * (ahead / 60.0 - 9.0) / 24.0))
    naive = float(week.values[:5].mean())

    first = told(week.window(SUNDAY_S, SUNDAY_S + 5 * MINUTE_S), SUNDAY_S + 5 * MINUTE_S)
    later = told(week.window(SUNDAY_S, now_s), now_s)
    assert later.model != first.model
    assert later.fitted_at_s is not None
    assert first.fitted_at_s is not None
    assert now_s - later.fitted_at_s <= HOUR_S
    assert abs(later.paths[3][29] - truth) < 0.15 * truth
    assert abs(naive - truth) > 3 * abs(later.paths[3][29] - truth)


def test_hours_are_no_season_and_gaps_move_no_clock() -> None:
    """Naive: rows are numbered, not dated: two hours are a season, and a hole shifts the night."""
    ramp = diurnal(1, seed=2).window(SUNDAY_S + 6 * HOUR_S, SUNDAY_S + 8.5 * HOUR_S)
    # Half an hour on, 150 rows that were taken for a day begin anew at their thirtieth; the truth climbs on.
    truth = 20.0 * (1.0 + 0.6 * np.sin(2 * np.pi * (9.0 - 9.0) / 24.0))
    naive_ramp = float(ramp.values[25:35].mean())
    assert naive_ramp < 0.7 * truth
    ours = told(ramp, ramp.end_s)
    assert abs(ours.paths[3][29] - truth) < 0.15 * truth

    holed = with_gap(nightly_batch(15, seed=3), 14 * 1440 + 6 * 60, 180)
    now_s = SUNDAY_S + 14 * DAY_S + 21 * HOUR_S + 45 * MINUTE_S
    past = holed.window(0.0, now_s)
    packed = past.known_values
    naive_night = float(packed[len(packed) - 1440 + 25])
    assert naive_night < 60.0
    night = told(past, now_s)
    assert night.paths[3][24] > 240.0
    assert night.paths[3][9] < 60.0


def test_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    """Naive: what is not asked for is not read, and the default stands instead of the ten minutes."""
    text = changed("startup: 120s", "start_up: 10m")
    pool = yaml.safe_load(text)["deployments"][0]["pools"]["prefill"]
    assert pool.get("startup", "120s") == "120s"
    (line,) = errors(tmp_path, text)
    assert "start_up: unknown key; did you mean 'startup'?" in line
    assert loaded(tmp_path, VALID).tick_policy().plan.pools[PREFILL].startup_s == 120.0


def test_a_pool_of_unknown_shape_opens_no_budget(tmp_path: Path) -> None:
    """Naive: a field that a newer API renamed reads as 0 GPUs held, so that all of the budget is free."""
    state = tmp_path / "state.yaml"
    state.write_text("pools: {prefill: {replicaCount: 12}, decode: {replicaCount: 3}}\n")
    renamed = yaml.safe_load(state.read_text())["pools"]
    naive = sum(pool.get("replicas", 0) for pool in renamed.values())
    assert naive == 0

    class Cluster:
        def observe(self, now_s: float) -> Observation:
            return builders.observation(pools=read_cluster_state(state, "shop", now_s), at_s=now_s)

    class Expects:
        def absorb(self, observation: Observation) -> None:
            return

        def forecast(self, now_s: float) -> object:
            return builders.forecast({"pages": 100.0, "email": 20.0}, at_s=now_s)

    class Clock:
        def now_s(self) -> float:
            return builders.AT_S

    memory = Memory()
    ports = Ports(Cluster(), Expects(), DryRun(), memory)  # type: ignore[arg-type]
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy(budget_gpus=24), DecidePolicy())
    served = Served(builders.layouts(), "sha256:0", "test")
    outcome = run_once(Job("shop", 60.0, lambda now_s: tick(now_s, ports, policy, served)), Clock())
    # Nothing is decided, and the outcome names the key.
    assert outcome is not None
    assert outcome.status is Status.FAILED
    assert "unknown key `pools.prefill.replicaCount`" in outcome.detail
    assert memory.records == []

    # GPUs per replica come from the profile, never from what a cluster says: known counts bind at once.
    state.write_text("pools: {prefill: {replicas: 12}, decode: {replicas: 3}}\n")
    outcome = run_once(Job("shop", 60.0, lambda now_s: tick(now_s, ports, policy, served)), Clock())
    assert outcome is not None
    assert outcome.status is Status.UNCHANGED
    assert all(memory.records[0].decision.final[role] <= n for role, n in ((PREFILL, 12), (DECODE, 3)))
