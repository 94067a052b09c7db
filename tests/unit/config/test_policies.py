"""Sections become the small policies that stages receive, in seconds and tokens."""

from pathlib import Path

import pytest

from config.pools import parallelism
from models.errors import ConfigError
from models.policy import (
    USUAL_FORECASTERS,
    ClassMatch,
    DecidePolicy,
    ForecastPolicy,
    JournalPolicy,
    PoolPolicy,
    PrometheusPolicy,
)
from models.values import Parallelism, RequestClass, Role, Router, Slo
from tests.unit.config.files import VALID, changed, loaded


def test_a_deployment_becomes_the_policy_of_its_ticks(tmp_path: Path) -> None:
    configured = loaded(tmp_path)

    policy = configured.tick_policy("shop")

    assert policy.deployment == "shop"
    assert policy.config_digest == configured.digest
    assert policy.plan.classes == (
        RequestClass("pages", Slo(ttft_s=0.3, e2e_s=0.5, quantile=0.99), priority=10),
        RequestClass("email", Slo()),
    )
    assert policy.plan.pools == {
        Role.PREFILL: PoolPolicy(min_replicas=2, max_replicas=36, startup_s=120.0),
        Role.DECODE: PoolPolicy(),
    }
    assert policy.plan.budget_gpus == 40
    assert policy.plan.router is Router.LOAD
    assert policy.plan.interval_s == 60.0
    assert policy.forecast == ForecastPolicy(forecasters=USUAL_FORECASTERS)
    assert policy.decide == DecidePolicy(max_step_down=1)


def test_defaults_are_those_of_the_policies(tmp_path: Path) -> None:
    text = "deployments:\n  - {name: shop, model: m, pools: {aggregated: {}}}\n"

    policy = loaded(tmp_path, text).tick_policy()

    assert policy.plan.pools == {Role.AGGREGATED: PoolPolicy()}
    assert policy.plan.classes == (RequestClass("default", Slo()),)
    assert policy.plan.budget_gpus is None
    assert policy.forecast == ForecastPolicy(forecasters=USUAL_FORECASTERS)
    assert policy.decide == DecidePolicy()


@pytest.mark.parametrize(("startup", "reach_s"), [("5m", 1800.0), ("20m", 2580.0), ("90m", 10_980.0)])
def test_forecasts_reach_as_far_as_slow_pools_need(tmp_path: Path, startup: str, reach_s: float) -> None:
    text = VALID.replace("    forecast: {reach: 30m}\n", "").replace(
        "startup: 120s", f"startup: {startup}, startup_p99: 2h"
    )

    policy = loaded(tmp_path, text).tick_policy()

    # Twice start-up + tick (60 s) + lag (15 s), in whole minutes, at least half an hour.
    assert policy.forecast.reach_s == reach_s
    assert reach_s >= 2 * policy.plan.ready_horizon_s()
    assert reach_s >= policy.plan.hold_horizon_s()


def test_forecasts_reach_past_a_long_drain(tmp_path: Path) -> None:
    text = changed("startup: 120s", "startup: 120s, drain: 1h").replace("    forecast: {reach: 30m}\n", "")

    policy = loaded(tmp_path, text).tick_policy()

    assert policy.forecast.reach_s >= policy.plan.hold_horizon_s() == 3720.0


def test_matches_follow_the_order_of_the_file(tmp_path: Path) -> None:
    first, rest = loaded(tmp_path).deployment().matches()

    assert first == ClassMatch("pages", min_input_tokens=4000)
    assert rest == ClassMatch("email")
    assert rest.rest
    assert not first.rest
    assert first.admits(4000)
    assert not first.admits(3999)


def test_both_ends_of_a_range_belong_to_it(tmp_path: Path) -> None:
    match = loaded(tmp_path, changed("{min: 4k}", "{min: 4k, max: 8k}")).deployment().matches()[0]

    assert [match.admits(tokens) for tokens in (3999, 4000, 8000, 8001)] == [False, True, True, False]


def test_labels_match_without_lengths(tmp_path: Path) -> None:
    match = (
        loaded(tmp_path, changed("{input_tokens: {min: 4k}}", "{labels: {app: web}}"))
        .deployment()
        .matches()[0]
    )

    assert match == ClassMatch("pages", labels={"app": "web"})
    assert not match.by_length


def test_labels_that_one_series_could_carry_are_refused(tmp_path: Path) -> None:
    text = changed("{input_tokens: {min: 4k}}", "{labels: {app: web}}").replace(
        "      - name: email", "      - {name: gold, match: {labels: {tier: gold}}}\n      - name: email"
    )

    with pytest.raises(
        ConfigError, match=r"classes\[1\]\.match\.labels: a series can carry these and the labels"
    ):
        loaded(tmp_path, text)


def test_labels_that_exclude_each_other_are_fine(tmp_path: Path) -> None:
    text = changed("{input_tokens: {min: 4k}}", "{labels: {app: web, tier: free}}").replace(
        "      - name: email", "      - {name: gold, match: {labels: {tier: gold}}}\n      - name: email"
    )

    assert [match.labels for match in loaded(tmp_path, text).deployment().matches()] == [
        {"app": "web", "tier": "free"},
        {"tier": "gold"},
        {},
    ]


def test_only_stated_layouts_are_stated(tmp_path: Path) -> None:
    assert loaded(tmp_path).deployment().layouts() == {Role.PREFILL: "TP1", Role.DECODE: "TEP4"}
    assert loaded(tmp_path, changed("layout: TEP4, ", "")).deployment().layouts() == {Role.PREFILL: "TP1"}


@pytest.mark.parametrize(
    "layout",
    [
        Parallelism(tp=1),
        Parallelism(tp=4, ep=4),
        Parallelism(dp=32, ep=32),
        Parallelism(tp=2, dp=4, ep=8),
        Parallelism(tp=8, pp=2),
        Parallelism(dp=4, ep=4, pp=2),
    ],
    ids=str,
)
def test_a_layout_reads_as_the_parallelism_that_bears_its_name(layout: Parallelism) -> None:
    assert parallelism(layout.name) == layout


@pytest.mark.parametrize(
    "name", ["", "TP", "TP0", "tp4", "EP4", "TP4x", "TEP4-DP2", "TP2-DP4", "TP2-DP2-EP3"]
)
def test_what_is_no_layout_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"layout|must divide"):
        parallelism(name)


def test_prometheus_becomes_its_policy(tmp_path: Path) -> None:
    text = changed(
        "  url: http://prometheus:9090",
        "  url: https://prometheus:9090/prom/\n  preset: vllm\n  timeout: 5s\n  retries: 0\n"
        "  labels: {cluster: west}\n  bearer_token_file: /run/token\n  tls: {ca_file: /etc/ca.pem}",
    )
    prometheus = loaded(tmp_path, text).settings.prometheus

    assert prometheus is not None
    assert prometheus.to_policy() == PrometheusPolicy(
        url="https://prometheus:9090/prom",
        preset="vllm",
        timeout_s=5.0,
        retries=0,
        labels={"cluster": "west"},
        headers={"X-Scope-OrgID": "tenant-secret"},
        bearer_token_file="/run/token",
        ca_file="/etc/ca.pem",
        verify=True,
    )


def test_the_journal_lies_beside_the_file_unless_stated(tmp_path: Path) -> None:
    assert loaded(tmp_path).settings.journal.to_policy() == JournalPolicy(str(tmp_path / "journal"))


def test_the_only_deployment_needs_no_name(tmp_path: Path) -> None:
    assert loaded(tmp_path).deployment().name == "shop"


def test_one_of_several_deployments_has_to_be_named(tmp_path: Path) -> None:
    text = f"{VALID}  - {{name: chat, model: m, pools: {{aggregated: {{}}}}}}\n"

    with pytest.raises(ConfigError, match="several deployments; name one of them: shop, chat"):
        loaded(tmp_path, text).deployment()


def test_an_unknown_deployment_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no deployment 'chat'; it has shop"):
        loaded(tmp_path).deployment("chat")
