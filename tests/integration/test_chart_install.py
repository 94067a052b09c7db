"""The chart installs, upgrades and goes in a real API server, and its accounts may do what they need."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import Helm, Object
from tests.chart.rights import Right, granted
from tests.chart.samples import PROFILING
from tests.chart.values import CHART
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration

CORE = ("configmaps", "services", "serviceaccounts", "persistentvolumeclaims")
PATHS = {
    **dict.fromkeys(CORE, "/api/v1"),
    "deployments": "/apis/apps/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "jobs": "/apis/batch/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
}


class Release:
    """Hold a release of the chart in a namespace of its own, with a second one for what it scales."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.namespace, self.targets = cluster.make_namespace("headgate"), cluster.make_namespace("serving")
        self.helm = Helm(folder, cluster.kubeconfig, self.namespace)

    def values(self, mode: str = "act", **more: Any) -> dict[str, Any]:
        """Write values with two pools of one deployment."""
        pools = {
            role: {"layout": "TP4", "min": 1, "target": {"kind": "Deployment", "name": f"chat-{role}"}}
            for role in ("prefill", "decode")
        }
        chat = {
            "name": "chat",
            "model": "m",
            "mode": mode,
            "target": {"namespace": self.targets},
            "pools": pools,
        }
        persistence = {"persistence": {"enabled": True}}
        config = {"deployments": [chat]}
        return {"config": config, "journal": persistence, "networkPolicy": {"enabled": True}, **more}

    def apply(self, values: Mapping[str, Any]) -> str:
        """Install or upgrade; return the manifest that helm keeps."""
        self.run("upgrade", "--install", "headgate", str(CHART), values=values)
        return self.run("get", "manifest", "headgate")

    def run(self, *words: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm; what fails fails the test."""
        ran = self.helm.run(*words, values=values)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def objects(self, namespace: str) -> dict[str, list[str]]:
        """Return what is in a namespace, by kind, but for what helm keeps for itself."""
        found = {}
        for plural, group in PATHS.items():
            items = self.cluster.request("GET", f"{group}/namespaces/{namespace}/{plural}")["items"]
            if items:
                found[plural] = sorted(item["metadata"]["name"] for item in items)
        return found

    def account(self, name: str = "headgate") -> Path:
        """Return a kubeconfig with a token of an account that the chart made."""
        return self.cluster.write_account(self.namespace, name)

    def may(self, kubeconfig: Path, right: Right) -> bool:
        """Ask the API server, as the account itself, whether it may."""
        from kubernetes import client

        resource, _, part = right.resource.partition("/")
        attributes = client.V1ResourceAttributes(
            namespace=right.namespace,
            group=right.group,
            resource=resource,
            subresource=part or None,
            verb=right.verb,
            name=right.name or None,
        )
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
        with self.cluster.client(kubeconfig) as api:
            answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
        assert answer.status is not None
        return bool(answer.status.allowed)


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Release:
    """Give a release that is not installed yet."""
    return Release(cluster, tmp_path)


def test_it_installs_upgrades_and_leaves_only_the_journal(release: Release) -> None:
    before = release.objects(release.namespace), release.objects(release.targets)
    first = release.apply(release.values("observe"))

    assert re.search(r"^apiVersion: policy/v1(beta1)?\nkind: PodDisruptionBudget", first, re.MULTILINE)
    there = release.objects(release.namespace)
    assert there["deployments"] == ["headgate"]
    assert there["networkpolicies"] == ["headgate"]
    assert there["persistentvolumeclaims"] == ["headgate-journal"]
    (scaler,) = _items(release, "deployments")
    assert scaler["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True

    # Another mode: other Roles, another ConfigMap, and no Pod is made anew.
    release.apply(release.values("act"))
    (after,) = _items(release, "deployments")
    assert after["metadata"]["generation"] == scaler["metadata"]["generation"]
    kept = release.cluster.request("GET", f"/api/v1/namespaces/{release.namespace}/configmaps/headgate")
    assert "mode: act" in kept["data"]["headgate.yaml"]

    release.run("uninstall", "headgate")
    left = release.objects(release.namespace)
    assert left.pop("persistentvolumeclaims") == ["headgate-journal"]
    assert (left, release.objects(release.targets)) == before


def test_the_scaler_may_do_what_it_needs_and_is_refused_the_rest(release: Release) -> None:
    manifest = release.apply(release.values("act"))
    account = release.account()
    needed = granted(_documents(manifest, release.namespace))

    assert len(needed) > 15
    assert {right for right in needed if not release.may(account, right)} == set()

    elsewhere = release.cluster.make_namespace("other")
    here, there = release.namespace, release.targets
    refused = {
        *(Right(place, "", "secrets", verb) for place in (here, there) for verb in ("get", "list", "watch")),
        *(Right(place, "", "pods/exec", "create") for place in (here, there)),
        *(
            Right(there, "", "pods", verb)
            for verb in ("create", "delete", "patch", "update", "deletecollection")
        ),
        *(Right(there, "apps", "deployments", verb) for verb in ("create", "patch", "update", "delete")),
        *(Right(there, "apps", "deployments", verb, "theirs") for verb in ("get", "patch", "delete")),
        Right(there, "apps", "deployments", "delete", "chat-decode"),
        Right(there, "apps", "deployments", "patch", "chat-decode"),
        Right(there, "apps", "deployments/scale", "patch", "theirs"),
        Right(there, "apps", "deployments/scale", "update", "chat-decode"),
        *(Right(elsewhere, "apps", "deployments", verb) for verb in ("get", "list", "watch", "patch")),
        Right(elsewhere, "apps", "deployments/scale", "patch", "chat-decode"),
        *(Right(here, "apps", "deployments", verb) for verb in ("get", "list", "patch")),
        *(Right(here, "", "configmaps", verb) for verb in ("get", "list", "patch", "create")),
        Right(here, "coordination.k8s.io", "leases", "patch", "theirs"),
        Right(here, "coordination.k8s.io", "leases", "delete", "headgate"),
        Right(there, "coordination.k8s.io", "leases", "create"),
        *(Right(there, "", "events", verb) for verb in ("delete", "update")),
        *(
            Right(there, "rbac.authorization.k8s.io", "roles", verb)
            for verb in ("create", "patch", "escalate")
        ),
        Right("", "", "nodes", "list"),
        Right("", "", "namespaces", "list"),
        Right("", "", "pods", "list"),
    }
    assert {right for right in refused if release.may(account, right)} == set()


def test_who_only_watches_is_refused_every_change(release: Release) -> None:
    release.apply(release.values("observe"))
    account, there = release.account(), release.targets

    assert release.may(account, Right(there, "apps", "deployments", "get", "chat-decode"))
    for resource in ("deployments", "deployments/scale"):
        for verb in ("patch", "update"):
            assert not release.may(account, Right(there, "apps", resource, verb, "chat-decode"))


def test_a_token_in_use_is_refused_by_the_server_itself(release: Release) -> None:
    """What a review says is what happens: one request of each kind is really sent."""
    from kubernetes import client

    release.apply(release.values("act"))
    with release.cluster.client(release.account()) as api:
        core, leases = client.CoreV1Api(api), client.CoordinationV1Api(api)
        meta = client.V1ObjectMeta(name="headgate")
        leases.create_namespaced_lease(release.namespace, client.V1Lease(metadata=meta))
        assert core.list_namespaced_pod(release.targets).items == []
        attempts: list[Callable[[], object]] = [
            lambda: core.list_namespaced_secret(release.namespace),
            lambda: core.list_namespaced_pod(release.namespace),
            lambda: leases.delete_namespaced_lease("headgate", release.namespace),
        ]
        for attempt in attempts:
            with pytest.raises(client.ApiException) as refusal:
                attempt()
            assert refusal.value.status == 403


def test_the_profilers_account_may_make_and_hand_on_what_a_sweep_needs(release: Release) -> None:
    """Whoever makes a Role must hold what it grants; the API server checks that."""
    from config.access import kubernetes_access
    from config.cluster import KubernetesCluster
    from profiler.jobs.manifests import Kind, access_manifests, root_manifest
    from profiler.jobs.tidying import tidy
    from tests.unit.jobs import sweeps

    release.apply({**PROFILING, **release.values("observe"), "profiler": PROFILING["profiler"]})
    (job,) = _items(release, "jobs")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["headgate-profiler"]
    cluster = KubernetesCluster(kubernetes_access(release.account("headgate-profiler")))
    inputs = replace(sweeps.inputs(), namespace=release.namespace)

    kinds = [Kind("apps", "deployments", ("small-tp1",)), Kind("", "services", ("small-tp1",))]
    for manifest in (root_manifest(inputs), *access_manifests(inputs, kinds, ["small-0-page-0"])):
        cluster.create(manifest)
    assert cluster.find("v1", "Pod", release.namespace) == []
    tidy(cluster, "small", release.namespace, [("apps/v1", "Deployment"), ("v1", "Service")])

    assert "small" not in release.objects(release.namespace)["roles"]


def _items(release: Release, plural: str) -> list[Object]:
    path = f"{PATHS[plural]}/namespaces/{release.namespace}/{plural}"
    found: list[Object] = release.cluster.request("GET", path)["items"]
    return found


def _documents(manifest: str, namespace: str) -> list[Object]:
    from tests.chart.helm import documents

    found = list(documents(manifest))
    assert any(each["metadata"].get("namespace") == namespace for each in found), json.dumps(found)[:500]
    return found
