"""The object that Dynamo's replay drives keeps to its protocol, and reads what the factory is given."""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from config.dynamo_profile import read_folder
from models.artifact import EngineLimits
from models.capacity.prefill import prefill_work
from models.errors import ConfigError, InputError, ObserveError, TraceError
from models.mix import RequestMix
from models.values import Role, Signal, Slo
from planner.observe.replay_history import read_replay_history
from planner.replay_policy import scaling_policy
from planner.replay_setting import ORIGIN_S, read_setting, replica_layouts
from profiler.exchange.dynamo import decode_table, prefill_table
from profiler.exchange.files import write_folder
from tests.builders import decode_layout, prefill_layout
from tests.components import REPOSITORY
from tests.replay_snapshots import TICK_S, batch, prompt, snapshot, window

PREFILL_TOKENS_PER_S = 9000.0
TWO_CLASSES = "[{name: x, match: {input_tokens: {max: 9}}}, {name: y}]\n"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    prefill, decode = prefill_layout(PREFILL_TOKENS_PER_S), decode_layout(0.012, 0.0006, tp=2)
    write_folder(prefill_table(prefill, 16_384), decode_table(decode, 16_384), folder)
    return folder


@pytest.fixture
def config(profile: Path) -> dict[str, Any]:
    return {
        "history_csv": None,
        "profile_dir": str(profile),
        "slo_ttft_ms": 2000.0,
        "slo_itl_ms": 40.0,
        "startup_s": 90.0,
        "gpu_cap": 24,
        "prefill_gpus": 1,
        "decode_gpus": 2,
        "start_prefill": 4,
        "start_decode": 2,
        "min_prefill": 1,
        "min_decode": 1,
        "prefill_max_num_seqs": 1,
        "decode_max_num_seqs": 256,
        "max_num_batched_tokens": 16_384,
        "decode_max_kv_tokens": 500_000,
    }


def settings(folder: Path, text: str) -> str:
    path = folder / "headgate.yaml"
    path.write_text(text)
    return str(path)


def drive(policy: Any, ticks: int, active: tuple[int, int], arrived: int) -> list[dict[str, Any]]:
    """Tick a policy at constant load on a fleet that stays as it is."""
    answers = []
    for k in range(1, ticks + 1):
        prefill = [prompt(i, 1800 + 37 * ((k * 7 + i) % 11)) for i in range(active[0])]
        decode = [batch(i, 20, 20 * 2100) for i in range(active[1])]
        told = snapshot(TICK_S * k, active, window(arrived=arrived), prefill=prefill, decode=decode)
        answers.append(policy.on_tick(told))
    return answers


def test_ticks_come_at_the_interval_and_answers_are_absolute_counts(config: dict[str, Any]) -> None:
    policy = scaling_policy(config)

    assert policy.initial_tick_ms() == 15_000.0
    answer = policy.on_tick(snapshot(15.0))
    assert set(answer) == {"target_prefill", "target_decode", "next_tick_ms"}
    assert answer["next_tick_ms"] == 30_000.0
    assert isinstance(answer["target_prefill"], int)
    assert isinstance(answer["target_decode"], int)


def test_answers_are_plain_values_that_the_replay_can_convert(config: dict[str, Any]) -> None:
    answers = drive(scaling_policy(config), 8, (4, 2), 150)

    assert {type(v) for answer in answers for v in answer.values()} == {int, float}
    assert json.loads(json.dumps(answers)) == answers


def test_load_beyond_the_fleet_orders_more_of_both_roles_inside_the_cap(config: dict[str, Any]) -> None:
    # 20 requests a second of 2,000 tokens take 4.5 prefill workers at 9,000 tokens a second without a pause.
    last = drive(scaling_policy(config), 8, (2, 1), 300)[-1]

    assert last["target_prefill"] >= 5
    assert last["target_decode"] >= 2
    assert last["target_prefill"] + 2 * last["target_decode"] <= 24


def test_silence_shrinks_the_fleet_one_step_at_a_time_to_its_floors(config: dict[str, Any]) -> None:
    policy: Any = scaling_policy({**config, "min_prefill": 2})
    active = (6, 3)
    drive(policy, 8, active, 150)
    for k in range(9, 140):
        answer = policy.on_tick(snapshot(TICK_S * k, active, window(arrived=0)))
        now = (answer["target_prefill"], answer["target_decode"])
        assert all(0 <= was - n <= 1 for was, n in zip(active, now, strict=True))
        active = now

    assert active == (2, 1)


def test_a_window_that_is_missing_never_lowers_the_fleet(config: dict[str, Any]) -> None:
    policy = scaling_policy(config)
    drive(policy, 40, (6, 4), 30)
    for k in range(41, 80):
        answer = policy.on_tick(snapshot(TICK_S * k, (6, 4), traffic={}))
        assert (answer["target_prefill"], answer["target_decode"]) == (6, 4)


def test_a_defect_in_one_tick_holds_the_fleet_and_is_logged(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = scaling_policy(config)

    def broken(now_s: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(policy._ports.forecaster, "forecast", broken)
    answer = policy.on_tick(snapshot(15.0))

    assert answer == {"target_prefill": None, "target_decode": None, "next_tick_ms": 30_000.0}
    assert "the fleet is held" in caplog.text


def test_a_snapshot_of_another_kind_ends_the_replay(config: dict[str, Any]) -> None:
    with pytest.raises(ObserveError, match="has no number"):
        scaling_policy(config).on_tick({"now_ms": 15_000.0, "traffic": window()})


def test_what_the_replay_states_goes_before_the_configuration(config: dict[str, Any], tmp_path: Path) -> None:
    config["headgate"] = settings(
        tmp_path,
        "interval: 30s\n"
        "deployments:\n"
        "  - name: mine\n    model: mine\n    router: round-robin\n    attainment: 0.97\n"
        "    budget: {gpus: 99}\n"
        "    pools: {prefill: {min: 5, max: 7, startup: 9m}, decode: {drain: 40s}}\n"
        "    classes: [{name: chat, slo: {ttft: 9s, itl: 9s, quantile: 0.95}}]\n",
    )
    plan = read_setting(config).policy.plan

    assert (plan.interval_s, plan.router.value, plan.attainment) == (30.0, "round-robin", 0.97)
    assert plan.budget_gpus == 24
    assert plan.classes[0].slo == Slo(ttft_s=2.0, itl_s=0.04, quantile=0.95)
    prefill, decode = plan.pools[Role.PREFILL], plan.pools[Role.DECODE]
    assert (prefill.min_replicas, prefill.max_replicas, prefill.startup_s) == (1, 7, 90.0)
    assert (decode.startup_s, decode.drain_s) == (90.0, 40.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval: 15s\nintervall: 3s\ndeployments: []\n", "intervall"),
        (
            "deployments: [{name: a, model: m, pools: {aggregated: {}}}]\n",
            "prefill or decode",
        ),
        (
            "deployments:\n- name: a\n  model: m\n  pools: {prefill: {}, decode: {}}\n  classes: "
            + TWO_CLASSES,
            "no classes apart",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    config: dict[str, Any], tmp_path: Path, text: str, said: str
) -> None:
    config["headgate"] = settings(tmp_path, text)

    with pytest.raises(ConfigError, match=said):
        scaling_policy(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slo_ttft_ms": None}, "slo_ttft_ms"),
        ({"slo_itl_ms": 0.0}, "above 0 ms"),
        ({"startup_s": "2m"}, "startup_s"),
        ({"startup_s": -1.0}, "startup_s"),
        ({"decode_gpus": 0}, "decode_gpus"),
        ({"prefill_max_num_seqs": 1.5}, "whole number"),
        ({"gpu_cap": float("nan")}, "gpu_cap"),
        ({"profile_dir": None}, "profile_dir"),
        ({"headgate": 7}, "headgate"),
        ({"headgates": "x.yaml"}, "did you mean 'headgate'"),
    ],
)
def test_a_key_that_is_wrong_is_named(config: dict[str, Any], changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scaling_policy({**config, **changes})


def test_a_profile_that_is_not_there_says_what_it_holds(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="selected_prefill_interpolation"):
        scaling_policy({**config, "profile_dir": str(tmp_path)})


def test_keys_that_only_the_replay_knows_are_left_to_it(config: dict[str, Any]) -> None:
    assert scaling_policy({**config, "seed": 3, "profile_npz": "/nowhere.npz"}).initial_tick_ms() > 0


def test_layouts_take_one_prompt_at_a_time_and_no_time_outside_the_engine(profile: Path) -> None:
    limits = {Role.PREFILL: EngineLimits(1, 16_384), Role.DECODE: EngineLimits(256, 16_384)}
    made = replica_layouts(read_folder(profile), {Role.PREFILL: 1, Role.DECODE: 2}, limits, 5e5)
    prefill, decode = made[Role.PREFILL].prefill, made[Role.DECODE].decode
    assert prefill is not None
    assert decode is not None

    # The builder's 30 ms outside the engine are part of the table's TTFT, which the simulator takes whole.
    assert prefill.at(2048, 1) == pytest.approx(0.031 + 2048 / PREFILL_TOKENS_PER_S)
    work = prefill_work(made[Role.PREFILL], RequestMix.constant(2048, 100))
    assert work.mean_service_s == pytest.approx(work.mean_alone_s)
    assert made[Role.PREFILL].overhead_s == 0.0
    assert decode.at(2048, 20) == pytest.approx(0.012 + 20 * (0.0006 + 2048 * 2e-9), rel=0.02)


def write_history(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("t_min", "rps", "isl", "osl"), *rows])
    return path


def test_a_history_is_known_to_the_forecast_from_the_first_tick(
    config: dict[str, Any], tmp_path: Path
) -> None:
    rows: list[tuple[object, ...]] = [(-n, 20.0, 2000.0, 200.0) for n in range(600, 0, -1)]
    config["history_csv"] = str(write_history(tmp_path / "history.csv", rows))
    policy: Any = scaling_policy(config)

    # Nothing has completed yet: the lengths are the history's.
    answer = policy.on_tick(snapshot(15.0, (5, 3), window(arrived=290, completed=0)))

    assert policy.record is not None
    path = policy.record.forecast.signals["default"][Signal.PREFILL_TOKENS].paths[2]
    assert path[0] == pytest.approx(40_000.0, rel=0.1)
    assert answer["target_prefill"] >= 5


def test_rows_of_a_history_are_minutes_before_time_zero(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(-3, 2, 1000, 100), (-2, "", 1000, 100), (-1, 0, "", ""), (0, 9, 9, 9)]
    past = read_replay_history(write_history(tmp_path / "h.csv", rows), ORIGIN_S)

    arrivals, tokens = past[Signal.ARRIVALS], past[Signal.PREFILL_TOKENS]
    assert arrivals.start_s == ORIGIN_S - 180.0
    assert arrivals.known.tolist() == [True, False, True]
    assert arrivals.values.tolist() == [2.0, 0.0, 0.0]
    assert tokens.values.tolist() == [2000.0, 0.0, 0.0]


@pytest.mark.parametrize("rows", [[], [(5, 1, 1, 1)], [("x", 1, 1, 1)]])
def test_a_history_without_a_usable_row_is_refused(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    with pytest.raises(TraceError, match="no usable row"):
        read_replay_history(write_history(tmp_path / "h.csv", rows), ORIGIN_S)


def test_nothing_of_dynamo_and_no_heavy_library_is_imported() -> None:
    script = (
        "import sys, planner.replay_policy, planner.wiring\n"
        "heavy = ('dynamo', 'sklearn', 'statsmodels', 'prophet', 'kubernetes', 'altair', 'aiohttp')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    assert done.stdout.strip() == "[]"
