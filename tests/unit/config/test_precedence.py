"""Defaults give way to the file, the file to the environment, the environment to flags."""

from pathlib import Path

import pytest

from config.loading import Loaded, load
from models.errors import ConfigError
from tests.unit.config.files import VALID, write

GPUS = ("deployments", 0, "budget", "gpus")


def layered(folder: Path, environ: dict[str, str], overrides: dict[str, object] | None = None) -> Loaded:
    return load(write(folder), environ=environ, overrides=overrides)


def complaint(folder: Path, environ: dict[str, str], overrides: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        layered(folder, environ, overrides)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_default_holds_where_nothing_is_stated(tmp_path: Path) -> None:
    loaded = layered(tmp_path, {})

    assert loaded.settings.deployments[0].pools.by_role()["decode"].startup_s == 120.0  # type: ignore[index]
    assert loaded.origin(("deployments", 0, "pools", "decode", "startup")) == "default"


def test_the_file_beats_the_default(tmp_path: Path) -> None:
    loaded = layered(tmp_path, {})

    assert loaded.settings.deployments[0].budget.gpus == 40
    assert loaded.origin(GPUS) == f"{loaded.path}:9"


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    loaded = layered(tmp_path, {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "44"})

    assert loaded.settings.deployments[0].budget.gpus == 44
    assert loaded.origin(GPUS) == "HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS"


def test_a_flag_beats_the_environment(tmp_path: Path) -> None:
    environ = {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "44"}

    loaded = layered(tmp_path, environ, {"deployments.shop.budget.gpus": 48})

    assert loaded.settings.deployments[0].budget.gpus == 48
    assert loaded.origin(GPUS) == "flag deployments.shop.budget.gpus"


def test_the_process_environment_counts_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_INTERVAL", "30s")

    assert load(write(tmp_path)).settings.interval_s == 30.0


@pytest.mark.parametrize("item", ["SHOP", "0", "shop"])
def test_a_deployment_goes_by_name_or_number(tmp_path: Path, item: str) -> None:
    loaded = layered(tmp_path, {f"HEADGATE_DEPLOYMENTS__{item}__MODE": "recommend"})

    assert loaded.settings.deployments[0].mode == "recommend"


def test_a_class_goes_by_name_and_a_hyphen_by_an_underscore(tmp_path: Path) -> None:
    path = write(tmp_path, VALID.replace("name: pages", "name: web-pages"))

    loaded = load(path, {"HEADGATE_DEPLOYMENTS__SHOP__CLASSES__WEB_PAGES__SLO__TTFT": "250ms"})

    assert loaded.settings.deployments[0].classes[0].slo.ttft_s == 0.25


@pytest.mark.parametrize("key", ["deployments[0].mode", "deployments.0.mode", "deployments.shop.mode"])
def test_a_flag_names_an_item_in_any_spelling(tmp_path: Path, key: str) -> None:
    assert layered(tmp_path, {}, {key: "recommend"}).settings.deployments[0].mode == "recommend"


def test_a_variable_may_fill_a_section_that_the_file_lacks(tmp_path: Path) -> None:
    text = "deployments:\n  - {name: shop, model: m, pools: {aggregated: {}}}\n"
    path = write(tmp_path, text)

    loaded = load(path, {"HEADGATE_PROMETHEUS__URL": "http://one:9090", "HEADGATE_PROMETHEUS__TIMEOUT": "3s"})

    assert loaded.settings.prometheus is not None
    assert loaded.settings.prometheus.url == "http://one:9090"
    assert loaded.settings.prometheus.timeout_s == 3.0


def test_a_variable_may_hold_a_whole_section(tmp_path: Path) -> None:
    environ = {
        "HEADGATE_PROMETHEUS": "{url: http://two:9090, labels: {cluster: west}}",
        "HEADGATE_PROMETHEUS__RETRIES": "5",
    }

    prometheus = layered(tmp_path, environ).settings.prometheus

    assert prometheus is not None
    assert (prometheus.url, prometheus.retries, dict(prometheus.labels)) == (
        "http://two:9090",
        5,
        {"cluster": "west"},
    )


def test_a_variable_may_take_a_bound_away(tmp_path: Path) -> None:
    loaded = layered(tmp_path, {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "null"})

    assert loaded.settings.deployments[0].budget.gpus is None


def test_label_and_header_names_are_free(tmp_path: Path) -> None:
    environ = {
        "HEADGATE_PROMETHEUS__LABELS__DYNAMO_NAMESPACE": "shop",
        "HEADGATE_PROMETHEUS__HEADERS__X_SCOPE_ORGID": "other",
    }

    prometheus = layered(tmp_path, environ).settings.prometheus

    assert prometheus is not None
    assert dict(prometheus.labels) == {"dynamo_namespace": "shop"}
    # The file spells it X-Scope-OrgID; header names have no case.
    assert prometheus.to_policy().headers == {"X-Scope-OrgID": "other"}


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert layered(tmp_path, {"HEADGATE_INTERVAL": ""}).settings.interval_s == 60.0


@pytest.mark.parametrize(
    "name",
    [
        "HEADGATE_TRACES",
        "HEADGATE_FACTS",
        "HEADGATE_REQUIRE_COMPONENTS",
        "HEADGATE_SERVICE_HOST",
        "HEADGATE_SERVICE_PORT_METRICS",
        "HEADGATE_PORT",
        "HEADGATE_PORT_8080_TCP_ADDR",
        "HEADGATE_METRICS_PORT_9090_TCP",
    ],
)
def test_variables_that_configure_nothing_are_left_alone(tmp_path: Path, name: str) -> None:
    assert layered(tmp_path, {name: "x"}).digest == layered(tmp_path, {}).digest


UNKNOWN = {
    "HEADGATE_INTERVALL": "unknown key 'intervall'; did you mean 'interval'?",
    "HEADGATE_PROMETHEUS__TIMEOT": "unknown key 'prometheus.timeot'; did you mean 'timeout'?",
    "HEADGATE_PROMETHEUS_URL": (
        "unknown key 'prometheus_url'; two underscores lead into a section: PROMETHEUS__URL"
    ),
    "HEADGATE_DEPLOYMENTS__SHOPP__MODE": "deployments has no item named 'shopp'; did you mean 'shop'?",
    "HEADGATE_DEPLOYMENTS__3__MODE": "deployments has 1 items, so there is no item 3",
    "HEADGATE_PROMETHEUS__LABELS__": "names no entry of prometheus.labels",
    "HEADGATE_INTERVAL__SECONDS": "interval is a value and holds no 'seconds'",
}


@pytest.mark.parametrize(("name", "expected"), UNKNOWN.items(), ids=UNKNOWN)
def test_an_unknown_variable_is_an_error_with_the_nearest_key(
    tmp_path: Path, name: str, expected: str
) -> None:
    assert complaint(tmp_path, {name: "30s"}) == f"{name}: {expected}"


def test_a_wrong_value_is_told_with_the_variable_that_holds_it(tmp_path: Path) -> None:
    found = complaint(tmp_path, {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "many"})

    assert found.startswith(
        "HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS: deployments[0].budget.gpus: 'many' is not"
    )


def test_a_wrong_value_is_told_with_its_flag(tmp_path: Path) -> None:
    found = complaint(tmp_path, {}, {"deployments.shop.mode": "run"})

    assert found.startswith(
        "flag deployments.shop.mode: deployments[0].mode: wants 'observe', 'recommend' or"
    )


def test_a_section_that_is_no_yaml_is_an_error_of_the_variable(tmp_path: Path) -> None:
    assert complaint(tmp_path, {"HEADGATE_PROMETHEUS": "{url: ["}).startswith("HEADGATE_PROMETHEUS: ")


def test_bytes_that_are_no_text_are_an_error_of_the_variable(tmp_path: Path) -> None:
    found = complaint(tmp_path, {"HEADGATE_DEPLOYMENTS__SHOP__MODEL": "caf\udce9"})

    assert found == "HEADGATE_DEPLOYMENTS__SHOP__MODEL: holds bytes that are not UTF-8 text"


def test_a_relative_path_starts_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc")
    monkeypatch.chdir(tmp_path)

    loaded = load("etc/headgate.yaml", {"HEADGATE_JOURNAL__DIR": "../var"})

    profile = loaded.deployment().profile
    assert profile is not None
    assert profile.path.resolve() == tmp_path / "etc" / "profile.json"
    assert Path(loaded.settings.journal.to_policy().directory).resolve() == tmp_path / "var"


def test_a_path_on_the_command_line_starts_where_the_shell_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc")
    monkeypatch.chdir(tmp_path)

    loaded = load("etc/headgate.yaml", {}, {"deployments.shop.profile": Path("mine.json")})

    profile = loaded.deployment().profile
    assert profile is not None
    assert profile.path == tmp_path / "mine.json"
