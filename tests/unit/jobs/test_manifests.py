"""The sweep's objects keep Kubernetes' own schemas, and ask for as little as they can."""

from typing import Any

import kubernetes_validate
import pytest

from profiler.cluster import Manifest
from profiler.jobs.manifests import (
    access_manifests,
    job_manifest,
    owned,
    page_manifests,
    root_manifest,
    shard_jobs,
)
from tests.unit.jobs.sweeps import KINDS, SHAPE, inputs

# The oldest release that knows every field of the Indexed Job, and the newest that the schemas cover.
RELEASES = ("1.31", "1.34", kubernetes_validate.latest_version())


def everything() -> list[Manifest]:
    given = inputs()
    pages = page_manifests(given, [])
    names = [page["metadata"]["name"] for page in pages]
    return [
        root_manifest(given),
        *access_manifests(given, KINDS, names),
        *pages,
        job_manifest(given, SHAPE),
        *shard_jobs(given, SHAPE),
    ]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("manifest", everything(), ids=lambda m: f"{m['kind']}-{m['metadata']['name']}")
def test_every_object_is_valid(manifest: Manifest, release: str) -> None:
    kubernetes_validate.validate(manifest, release, strict=True)


def test_an_unknown_field_would_be_noticed() -> None:
    manifest = job_manifest(inputs(), SHAPE)
    manifest["spec"]["completionmode"] = "Indexed"

    with pytest.raises(Exception, match="completionmode"):
        kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_every_object_carries_the_sweep_and_who_made_it() -> None:
    for manifest in everything():
        labels = manifest["metadata"]["labels"]
        assert labels["headgate.io/sweep"] == "small"
        assert labels["app.kubernetes.io/managed-by"] == "headgate-profiler"


def test_the_role_grants_no_more_than_it_names() -> None:
    role = next(each for each in everything() if each["kind"] == "Role")

    unnamed = [(rule["resources"], rule["verbs"]) for rule in role["rules"] if "resourceNames" not in rule]
    assert unnamed == [(["pods"], ["list"]), (["deployments"], ["create"]), (["services"], ["create"])]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {
        "get",
        "patch",
        "list",
        "create",
        "delete",
    }
    assert "*" not in str(role["rules"])
    pages = next(rule for rule in role["rules"] if "patch" in rule["verbs"])
    assert pages["resourceNames"] == ["small-0-page-0", "small-0-result", "small-1-page-0", "small-1-result"]


def test_evictions_do_not_count_and_wrong_inputs_are_not_tried_again() -> None:
    spec = job_manifest(inputs(), SHAPE)["spec"]

    ignore, fail = spec["podFailurePolicy"]["rules"]
    assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", [2])
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert spec["podReplacementPolicy"] == "Failed"


def test_each_shard_has_its_index_where_there_are_no_indexed_jobs() -> None:
    found = {
        job["metadata"]["name"]: job["spec"]["template"]["spec"]["containers"][0]["env"][0]
        for job in shard_jobs(inputs(), SHAPE)
    }

    assert found == {
        "small-0": {"name": "JOB_COMPLETION_INDEX", "value": "0"},
        "small-1": {"name": "JOB_COMPLETION_INDEX", "value": "1"},
    }


def test_pods_run_as_the_restricted_profile_asks() -> None:
    spec: dict[str, Any] = job_manifest(inputs(), SHAPE)["spec"]["template"]["spec"]

    (container,) = spec["containers"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "nvidia.com/gpu" not in str(container["resources"])


def test_what_the_root_owns_goes_with_it() -> None:
    root = {**root_manifest(inputs()), "metadata": {"name": "small", "uid": "u-1"}}

    made = owned(job_manifest(inputs(), SHAPE), root)

    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "small", "uid": "u-1"}
    assert made["metadata"]["ownerReferences"] == [owner]
    assert made["metadata"]["labels"]["headgate.io/sweep"] == "small"
