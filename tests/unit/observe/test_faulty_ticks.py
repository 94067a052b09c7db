"""Whole ticks through clocks that differ, holes, refused tokens, partial answers, pods that never start."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken

from config.entra import YOUNG_S, EntraTokens
from models.decision import Status
from models.observation import PARTIAL_GAP, PoolState, StartingReplica
from models.policy import ClassMatch, DecidePolicy, ForecastPolicy, PrometheusPolicy, TickPolicy
from models.prediction import Forecast
from models.values import Role
from planner.act.dryrun import DryRun
from planner.observe.live import PrometheusObserver, Target
from planner.observe.prometheus import PrometheusServer
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served, tick
from tests import builders
from tests.unit.observe.http_server import Request, Respond, answering, series, success
from tests.unit.observe.test_failures import (
    CHAT,
    MODEL,
    NAMES,
    NOW_S,
    POOLS,
    STARTED,
    Pools,
    counter,
    healthy,
    lengths,
    observer,
    run,
    with_counter,
)

EARLIER_S = NOW_S - 1800.0


def kept_until(last_s: float, hole: tuple[float, float] = (0.0, 0.0)) -> Respond:
    """Answer as a server that scraped 2 requests/s each 15 s until `last_s`, except within a hole."""

    def respond(request: Request) -> tuple[int, str]:
        if request.path.endswith("query_range"):
            return 200, success(lengths())
        at_s = float(request.query["time"])
        moments = [EARLIER_S + 15.0 * i for i in range(400)]
        there = [at for at in moments if at_s - 900 < at <= min(at_s, last_s) and not hole[0] < at <= hole[1]]
        if request.query["query"].startswith("up{"):
            return 200, success([series("up", [(at, 1) for at in there])])
        waiting = series("dynamo_frontend_queued_requests", [(at, 0) for at in there])
        return 200, success([series(STARTED, [(at, 1e5 + 2 * (at - EARLIER_S)) for at in there]), waiting])

    return respond


@pytest.mark.parametrize("behind_s", [120.0, 600.0, 7200.0])
def test_a_prometheus_whose_clock_is_behind_lowers_nothing(behind_s: float) -> None:
    with answering(kept_until(NOW_S - behind_s)) as prometheus:
        record = run(observer(prometheus.url))

    assert dict(record.decision.final) == POOLS
    assert record.observation.gaps


def test_a_prometheus_whose_clock_is_ahead_tells_the_demand_of_the_moment_that_is_asked_for() -> None:
    with answering(kept_until(NOW_S + 600)) as prometheus:
        seen = run(observer(prometheus.url)).observation

    assert seen.demand["chat"].arrivals_rps == pytest.approx(2.0)
    assert seen.demand_at_s is not None
    assert seen.demand_at_s <= NOW_S


def test_the_hole_of_a_restart_lowers_nothing_and_is_neither_silence_nor_a_crowd() -> None:
    begin_s, end_s = NOW_S - 240, NOW_S + 120
    fresh = []
    with answering(kept_until(NOW_S + 3600, hole=(begin_s, end_s))) as prometheus:
        watching = observer(prometheus.url)
        for at_s in range(int(begin_s), int(end_s) + 240, 15):
            seen = watching.observe(float(at_s))
            rate = seen.demand["chat"].arrivals_rps
            assert rate is None or rate == pytest.approx(2.0)
            late = seen.demand_age_s is None or seen.demand_age_s > 120.0
            fresh.append(not late)
            if late and at_s == NOW_S:
                assert dict(run(watching).decision.final) == POOLS

    # Seen before, not seen in between, and seen again as soon as a window is whole.
    assert fresh[0]
    assert not fresh[16]
    assert fresh[-1]


def accepting(token: str) -> Respond:
    def respond(request: Request) -> tuple[int, str]:
        good = request.headers.get("Authorization") == f"Bearer {token}"
        return healthy(request) if good else (401, "")

    return respond


def test_a_token_that_ended_holds_counts_until_its_file_is_renewed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ended")
    with answering(accepting("fresh")) as prometheus:
        watching = observer(prometheus.url, bearer_token_file=str(file))
        refused = run(watching)
        file.write_text("fresh")
        renewed = run(watching)

    assert dict(refused.decision.final) == POOLS
    assert refused.outcome.status is Status.HELD
    assert not renewed.decision.held
    assert renewed.observation.demand["chat"].arrivals_rps == pytest.approx(2.0)


class Identity:
    """Hand out one token, as an identity does that keeps it."""

    def __init__(self, token: str) -> None:
        self.token, self.asked = token, 0

    def get_token(self, *_: str, **__: object) -> AccessToken:
        self.asked += 1
        return AccessToken(self.token, 10_000)


@pytest.mark.parametrize("second", ["fresh", "refused too"])
def test_a_refused_token_of_entra_is_asked_for_anew_once_within_the_tick(second: str) -> None:
    now_s = 1000.0
    made = [Identity("ended"), Identity(second)]
    left = iter(made)
    tokens = EntraTokens(lambda: next(left), "scope", lambda: now_s)
    tokens()
    now_s += YOUNG_S
    with answering(accepting("fresh")) as prometheus:
        policy = PrometheusPolicy(prometheus.url, "dynamo", timeout_s=2.0, retries=1)
        asked = PrometheusServer(policy, token=tokens, renew=tokens.renew)
        record = run(PrometheusObserver(asked, NAMES, Target(MODEL, [ClassMatch("chat")], {}), Pools()))
        refused = [r for r in prometheus.requests if r.headers["Authorization"] != "Bearer fresh"]

    assert [identity.asked for identity in made] == [1, 1]
    if second == "fresh":
        assert not record.decision.held
        assert len(refused) == 1
    else:
        assert dict(record.decision.final) == POOLS
        assert record.decision.held
        assert len(refused) == 2


def test_a_partial_answer_raises_counts_and_lowers_none() -> None:
    """One of two stores is away: its frontend's series are missing whole, and so is its `up`."""
    with answering(with_counter(counter(rate=1.0), warnings=["store b: no connection"])) as prometheus:
        record = run(observer(prometheus.url))

    assert record.observation.demand["chat"].arrivals_rps == pytest.approx(1.0)
    assert [gap.what for gap in record.observation.gaps if "store b" in gap.reason] == [PARTIAL_GAP]
    assert dict(record.decision.final) == POOLS
    assert "a part of demand may be missing" in record.decision.sentence(Role.DECODE)


class Steady:
    """Expect the same demand at every tick."""

    def absorb(self, observation: object) -> None:
        return

    def forecast(self, now_s: float) -> Forecast:
        return builders.forecast({"chat": 1600.0}, at_s=now_s)


class NeverReady:
    """Pools whose counts are followed, and whose decode workers beyond the first two never get ready."""

    def __init__(self, why: str) -> None:
        self.counts, self.why = {Role.PREFILL: 1, Role.DECODE: 3}, why

    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        stuck = (StartingReplica(NOW_S - 3600.0, self.why),) * (self.counts[Role.DECODE] - 2)
        decode = builders.pool(2, desired=self.counts[Role.DECODE], starting=stuck)
        return {Role.PREFILL: builders.pool(self.counts[Role.PREFILL]), Role.DECODE: decode}


@pytest.mark.parametrize(
    "why",
    ["engine: CrashLoopBackOff: restarted 14 times", "0/18 nodes are available: insufficient nvidia.com/gpu"],
    ids=["crash-looping", "pending for an hour"],
)
def test_workers_that_never_start_are_not_multiplied_and_hold_up_no_other_role(why: str) -> None:
    pools = NeverReady(why)
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy([CHAT]), DecidePolicy())
    trail = []
    with answering(kept_until(NOW_S + 3600)) as prometheus:
        watching = PrometheusObserver(
            PrometheusServer(PrometheusPolicy(prometheus.url, "dynamo")),
            NAMES,
            Target(MODEL, [ClassMatch("chat")], {}),
            pools,
        )
        ports = Ports(watching, Steady(), DryRun(), Memory())
        for i in range(8):
            record = tick(NOW_S + 60.0 * i, ports, policy, Served(builders.layouts(), "sha256:0", "0"))
            assert record.sizing is not None
            needed = {role: sized.target for role, sized in record.sizing.roles.items()}
            pools.counts = dict(record.decision.final)
            trail.append((needed, pools.counts))

    assert trail[0][1][Role.PREFILL] == trail[0][0][Role.PREFILL] > 1
    assert [c for _, c in trail] == [trail[0][1]] * 8, trail
    assert trail[-1][1][Role.DECODE] == trail[-1][0][Role.DECODE] > 3
