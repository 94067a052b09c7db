"""The chart makes valid objects of whatever people write, and the configuration that they meant."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.loading import load
from tests.chart.helm import MINIMAL, Helm, Object, one
from tests.chart.samples import (
    ARM64_NODES,
    AZURE,
    DEPLOYED,
    OWN_OBJECTS,
    PROFILING,
    SAMPLES,
    SECRETS,
    WATCHED,
)
from tests.chart.values import CHART
from tests.unit.config.files import EXAMPLES

# The oldest that is still supported anywhere, and the newest that is described.
VERSIONS = ("1.29", "1.33", "1.36")

CUSTOM = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


@pytest.mark.integration
@pytest.mark.parametrize("sample", SAMPLES)
def test_helm_finds_nothing_to_complain_of(sample: str, helm: Helm) -> None:
    ran = helm.run("lint", "--strict", str(CHART), values=SAMPLES[sample])

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not re.search(r"\[(WARNING|ERROR)\]", ran.stdout), ran.stdout


@pytest.mark.integration
@pytest.mark.parametrize("sample", SAMPLES)
def test_objects_are_valid_in_three_versions_of_kubernetes(sample: str, helm: Helm) -> None:
    objects = helm.template(SAMPLES[sample])

    for version in VERSIONS:
        for each in objects:
            if each["kind"] not in CUSTOM:
                kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.integration
@pytest.mark.parametrize("sample", SAMPLES)
def test_pods_run_with_no_more_rights_on_their_node_than_they_need(sample: str, helm: Helm) -> None:
    for each in helm.template(SAMPLES[sample]):
        if each["kind"] not in ("Deployment", "Job"):
            continue
        pod = each["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        }
        assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers"))
        assert not any("hostPath" in volume for volume in pod["volumes"])
        # A read-only root: Prophet's sampler writes temporary files.
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        assert container["resources"]["limits"]["memory"]
        names = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= names


@pytest.mark.integration
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_configuration_in_the_cluster_means_what_was_written(
    example: Path, helm: Helm, tmp_path: Path
) -> None:
    written = yaml.safe_load(example.read_text(encoding="utf-8"))
    if "journal" in written:
        written["journal"]["dir"] = "/var/lib/headgate/journal"
    rendered = tmp_path / "rendered" / "headgate.yaml"
    rendered.parent.mkdir()

    made = one(helm.template({"config": written}), "ConfigMap")
    rendered.write_text(made["data"]["headgate.yaml"], encoding="utf-8")

    assert load(rendered, {}).digest == load(example, {}).digest
    assert str(load(rendered, {}).settings.journal.directory.path) == "/var/lib/headgate/journal"


@pytest.mark.integration
def test_changed_configuration_restarts_nothing(helm: Helm) -> None:
    config: Any = DEPLOYED["config"]
    before, after = (
        helm.template({**DEPLOYED, "config": {**config, "interval": interval}}) for interval in ("60s", "30s")
    )

    assert one(before, "ConfigMap") != one(after, "ConfigMap")
    assert one(before, "Deployment") == one(after, "Deployment")
    # Only a whole folder follows its ConfigMap.
    (mount,) = [m for m in _container(before)["volumeMounts"] if m["name"] == "config"]
    assert "subPath" not in mount
    assert mount["readOnly"] is True


@pytest.mark.integration
def test_profiles_lie_where_the_configuration_names_them(helm: Helm) -> None:
    objects = helm.template(DEPLOYED)
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}

    assert mounts["profiles"] == "/etc/headgate/profiles"
    assert volumes["profiles"]["projected"]["sources"] == [
        {"configMap": {"name": "gpt-oss-profile", "items": [{"key": "profile.json", "path": "shop.json"}]}},
        {"secret": {"name": "their-profile", "items": [{"key": "their.json", "path": "other.json"}]}},
    ]
    assert mounts["profile-large"] == "/etc/headgate/volumes/large"
    assert volumes["profile-large"]["persistentVolumeClaim"] == {"claimName": "profiles", "readOnly": True}


@pytest.mark.integration
def test_secrets_come_from_secrets_and_stand_nowhere(helm: Helm) -> None:
    objects = helm.template(SECRETS)
    env = {each["name"]: each for each in _container(objects)["env"]}

    assert env["HEADGATE_PROMETHEUS__HEADERS__X_SCOPE_ORGID"]["valueFrom"] == {
        "secretKeyRef": {"name": "tenant", "key": "id"}
    }
    token = env["HEADGATE_PROMETHEUS__BEARER_TOKEN_FILE"]["value"]
    folders = {mount["mountPath"] for mount in _container(objects)["volumeMounts"]}
    assert str(Path(token).parent) in folders
    assert not any(each["kind"] == "Secret" for each in objects)


@pytest.mark.integration
def test_headers_in_the_configuration_are_refused_and_not_repeated(helm: Helm) -> None:
    (deployment,) = MINIMAL["config"]["deployments"]
    prometheus = {"url": "http://prometheus:9090", "headers": {"Authorization": "Bearer s3cr3t-t0k3n"}}

    said = helm.refusal({"config": {"prometheus": prometheus, "deployments": [deployment]}})

    assert "put each value into a Secret and name it in prometheus.headers" in said
    assert "s3cr3t-t0k3n" not in said


@pytest.mark.integration
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "config.deployments is empty: state at least one served model under `config`"),
        ({**MINIMAL, "replica": 3}, "Additional property replica is not allowed"),
        (
            {"config": {**MINIMAL["config"], "intervall": "60s"}},
            "Additional property intervall is not allowed",
        ),
        ({"config": {**MINIMAL["config"], "interval": 60}}, "config.interval: Invalid type"),
        ({**MINIMAL, "existingConfigMap": "ours"}, "config and existingConfigMap are both set"),
        ({"config": {**MINIMAL["config"], "journal": {"dir": "/tmp/x"}}}, "the one must lie in the other"),
        (
            {**MINIMAL, "journal": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}},
            "a volume that one node mounts keeps the others waiting",
        ),
        (
            {**MINIMAL, "alerts": {"enabled": True, "disabled": ["Headgate"]}},
            "there is no such alert; there are:",
        ),
        ({**MINIMAL, "profiles": [{"name": "a", "configMap": "a", "secret": "b"}]}, "profiles.0"),
        ({**MINIMAL, "profiler": {"enabled": True}}, "profiler.name is empty"),
        (
            {"existingConfigMap": "ours", "rbac": {"targets": [{"namespace": "a", "kinds": ["RoleSet"]}]}},
            "rbac.targets names kind RoleSet, which the chart does not know: say in rbac.kinds",
        ),
        (
            {
                **MINIMAL,
                "service": {"enabled": False},
                "monitor": {"enabled": True, "kind": "ServiceMonitor"},
            },
            "a ServiceMonitor finds Services",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    values: dict[str, Any], said: str, helm: Helm
) -> None:
    assert said in helm.refusal(values)


@pytest.mark.integration
def test_azure_gets_its_identity_and_its_own_monitors(helm: Helm) -> None:
    objects = helm.template(AZURE)

    account = one(objects, "ServiceAccount")
    assert account["metadata"]["annotations"] == {
        "azure.workload.identity/client-id": "0000-client",
        "azure.workload.identity/tenant-id": "0000-tenant",
    }
    pod = one(objects, "Deployment")["spec"]["template"]["metadata"]
    assert pod["labels"]["azure.workload.identity/use"] == "true"
    monitors = [each for each in objects if each["kind"] == "PodMonitor"]
    assert [each["apiVersion"] for each in monitors] == [
        "monitoring.coreos.com/v1",
        "azmonitoring.coreos.com/v1",
    ]
    for each in monitors:
        assert each["metadata"]["labels"]["release"] == "prometheus"
        assert each["spec"]["podMetricsEndpoints"] == [
            {"port": "http", "path": "/metrics", "interval": "30s"}
        ]
        _selects(each["spec"]["selector"], pod["labels"])


@pytest.mark.integration
def test_pods_go_where_they_are_sent(helm: Helm) -> None:
    pod = one(helm.template(ARM64_NODES), "Deployment")["spec"]["template"]

    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/arch": "arm64", "pool": "7"}
    assert pod["spec"]["tolerations"] == ARM64_NODES["tolerations"]
    assert pod["spec"]["topologySpreadConstraints"] == ARM64_NODES["topologySpreadConstraints"]
    assert pod["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/default-container": "headgate",
        "team": "serving",
        "cost-centre": "4711",
    }


@pytest.mark.integration
def test_selectors_find_the_scaler_and_nothing_else(helm: Helm) -> None:
    objects = [*helm.template(WATCHED), *helm.template(PROFILING)]
    scaler = one(helm.template(WATCHED), "Deployment")["spec"]["template"]["metadata"]["labels"]
    others = [one(objects, "Job")["spec"]["template"]["metadata"]["labels"]]

    selectors = [
        each["spec"]["selector"] for each in objects if each["kind"] in ("ServiceMonitor", "Deployment")
    ]
    selectors += [each["spec"]["selector"] for each in objects if each["kind"] == "PodDisruptionBudget"]
    selectors += [{"matchLabels": each["spec"]["selector"]} for each in objects if each["kind"] == "Service"]
    assert len(selectors) >= 6
    for selector in selectors:
        _selects(selector, scaler)
        for labels in others:
            assert not selector["matchLabels"].items() <= labels.items()


@pytest.mark.integration
def test_alerts_and_dashboards_arrive_as_they_are_kept(helm: Helm) -> None:
    objects = helm.template(WATCHED)
    rules = one(objects, "PrometheusRule")["spec"]["groups"][0]["rules"]
    kept = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["rules"]

    assert [rule["expr"] for rule in rules] == [
        rule["expr"] for rule in kept if rule["alert"] != "HeadgateFitHeldUp"
    ]
    assert {rule["labels"]["team"] for rule in rules} == {"serving"}
    assert rules[0]["annotations"]["runbook_url"] == f"https://runbooks.example/{rules[0]['alert']}"
    assert rules[1]["annotations"]["summary"] == kept[1]["annotations"]["summary"]
    boards = {
        key: text
        for each in objects
        if each["kind"] == "ConfigMap" and each["metadata"]["namespace"] == "grafana"
        for key, text in each["data"].items()
    }
    files = {f"headgate-{path.name}": path.read_text() for path in (CHART / "dashboards").iterdir()}
    assert {key: yaml.safe_load(text) for key, text in boards.items()} == {
        key: yaml.safe_load(text) for key, text in files.items()
    }


@pytest.mark.integration
def test_traffic_goes_where_it_must_and_nowhere_else(helm: Helm) -> None:
    config: Any = DEPLOYED["config"]
    policy = one(helm.template({**AZURE, "config": config}), "NetworkPolicy")["spec"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (inward,) = policy["ingress"]
    assert inward["ports"] == [{"port": "http", "protocol": "TCP"}]
    ports = {port["port"] for rule in policy["egress"] for port in rule.get("ports", ())}
    assert ports == {53, 443, 6443, 9090, 8443}
    assert policy["egress"][-1] == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}


@pytest.mark.integration
def test_a_volume_of_one_node_is_never_wanted_by_two_pods(helm: Helm) -> None:
    deployment = one(helm.template(OWN_OBJECTS), "Deployment")["spec"]

    assert deployment["replicas"] == 1
    assert deployment["strategy"]["rollingUpdate"]["maxSurge"] == 0


def _container(objects: list[Object]) -> Object:
    found: Object = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def _selects(selector: Object, labels: dict[str, str]) -> None:
    assert selector["matchLabels"]
    assert selector["matchLabels"].items() <= labels.items()
