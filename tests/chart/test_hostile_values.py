"""No value breaks out of its place: whatever is written arrives as it was written, or is refused."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.helm import Helm, Object
from tests.chart.samples import ARM64_NODES, AZURE, DEPLOYED, PROFILING, SAMPLES, SECRETS, WATCHED

HOSTILE = {
    "a line break and a key": 'x\nhostNetwork: true\n"y": z',
    "another document": "x\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: stolen}",
    "quotes": '"\'` it\'s "quoted" \\" \\',
    "a template": '{{ fail "ran" }} {{ .Release.Name }} {{- include "headgate.config" . }}',
    "an anchor": "&a *a !!python/object:os.system [x]",
    "a comment": "x # y: z",
    "a flow mapping": "}, hostNetwork: true, a: {",
    "a number": "0x10",
    "a truth": "yes",
    "nothing": "null",
    "spaces": "  x:  y\t\n  ",
    "a variable": "$(HEADGATE) ${HOME}",
    # Helm itself refuses the one line break that is missing here, U+0085.
    "unicode": "\u2028\u00e9\U0001f512\ufeff",
}

# Where values of a person's own choice go: what arrives there is the very text.
PLACES: tuple[tuple[Any, str], ...] = (
    (ARM64_NODES, "podAnnotations.team"),
    (ARM64_NODES, "podLabels.tier"),
    (ARM64_NODES, "commonLabels.owner"),
    (ARM64_NODES, "nodeSelector.pool"),
    (ARM64_NODES, "tolerations.0.key"),
    (ARM64_NODES, "extraEnv.0.value"),
    (ARM64_NODES, "extraArgs.1"),
    (ARM64_NODES, "schedulerName"),
    (ARM64_NODES, "priorityClassName"),
    (ARM64_NODES, "imagePullSecrets.0.name"),
    (ARM64_NODES, "extraVolumes.0.configMap.name"),
    (SECRETS, "prometheus.headers.0.secret"),
    (SECRETS, "prometheus.headers.0.key"),
    (SECRETS, "prometheus.bearerToken.secret"),
    (SECRETS, "prometheus.ca.configMap"),
    (DEPLOYED, "profiles.0.configMap"),
    (DEPLOYED, "profiles.1.key"),
    (DEPLOYED, "config.deployments.0.model"),
    (DEPLOYED, "journal.persistence.storageClassName"),
    (AZURE, "azure.workloadIdentity.clientId"),
    (AZURE, "monitor.labels.release"),
    (AZURE, "monitor.interval"),
    (WATCHED, "alerts.extraLabels.team"),
    (WATCHED, "dashboards.annotations.grafana_folder"),
    (WATCHED, "service.annotations.note"),
    (PROFILING, "profiler.template"),
    (PROFILING, "profiler.args.1"),
    (PROFILING, "profiler.model"),
)


@pytest.mark.integration
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_value_stays_in_its_place(what: str, helm: Helm) -> None:
    """All places of one set of values at once: another count of objects, or another key, would show."""
    for values in _sets():
        tame, hostile = copy.deepcopy(values), copy.deepcopy(values)
        for number, place in enumerate(place for of, place in PLACES if of is values):
            _put(tame, place, f"tame-{number}")
            _put(hostile, place, f"{HOSTILE[what]}{number}")

        expected = [_replaced(each, HOSTILE[what]) for each in helm.template(tame)]
        found = helm.template(hostile)

        for one, other in zip(_without_hashes(expected), _without_hashes(found), strict=True):
            assert one == other


@pytest.mark.integration
@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize(
    "place", ["image.repository", "image.tag", "fullnameOverride", "serviceAccount.name", "existingConfigMap"]
)
def test_a_hostile_name_makes_no_more_than_a_name(what: str, place: str, helm: Helm) -> None:
    values = copy.deepcopy(dict(SAMPLES["minimal"]))
    if place == "existingConfigMap":
        values.pop("config")
    ordinary = copy.deepcopy(values)
    _put(ordinary, place, "ordinary")
    _put(values, place, HOSTILE[what])

    if place == "image.repository" and set(HOSTILE[what]) & set(" \t\n"):
        assert "image.repository: Does not match pattern" in helm.refusal(values)
        return
    found = helm.template(values)

    assert [list(_keys(each)) for each in found] == [list(_keys(each)) for each in helm.template(ordinary)]


@pytest.mark.integration
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_key_stays_one_key(what: str, helm: Helm) -> None:
    values = {**SAMPLES["minimal"], "podAnnotations": {HOSTILE[what]: "x"}}

    (deployment,) = [each for each in helm.template(values) if each["kind"] == "Deployment"]

    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/default-container": "headgate", HOSTILE[what]: "x"}


def _sets() -> list[Any]:
    return [ARM64_NODES, SECRETS, DEPLOYED, AZURE, WATCHED, PROFILING]


def _put(values: Any, place: str, text: str) -> None:
    *path, last = place.split(".")
    here = values
    for key in path:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    if isinstance(here, list):
        here[int(last)] = text
    else:
        here[last] = text


def _replaced(value: Any, hostile: str) -> Any:
    """Return what is expected: the tame texts exchanged for the hostile ones, wherever they arrive."""
    if isinstance(value, dict):
        return {key: _replaced(inner, hostile) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, hostile) for inner in value]
    if isinstance(value, str) and value.startswith("tame-"):
        return f"{hostile}{value.removeprefix('tame-')}"
    if isinstance(value, str) and "tame-" in value and "deployments:" in value:
        # The configuration is text within text; compare what it means.
        return _replaced(yaml.safe_load(value), hostile)
    return value


def _without_hashes(objects: list[Object]) -> Iterator[Object]:
    for each in objects:
        text = (each.get("data") or {}).get("headgate.yaml")
        if isinstance(text, str):
            each["data"]["headgate.yaml"] = yaml.safe_load(text)
        if each["kind"] == "Job":
            # The name ends in a hash of what the Job is made of.
            each["metadata"]["name"] = each["metadata"]["name"].rpartition("-")[0]
        yield each


def _keys(value: Any, path: str = "") -> Iterator[str]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield f"{path}.{key}"
        yield from _keys(each, f"{path}.{key}")
