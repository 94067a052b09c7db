"""Decisions are applied in a real API server, by an account that may do exactly what is said to be needed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.decision import Outcome, Status
from models.stock import GpuLimit
from models.target import PoolTarget
from models.values import Role
from planner.act.checked import ServerDryRun
from planner.act.intent import INTENT
from planner.act.preflight import preflight
from planner.cluster.needs import Rule, scaling_rules, telling_rules
from tests import acting, builders
from tests.acting import DECODE, PREFILL, Breaking, StillClock
from tests.integration import dynamo_crds as crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration
MERGE = "application/merge-patch+json"
GRAPH = "DynamoGraphDeployment"
Counts = Mapping[Role, int]


class Stage:
    """Hold a namespace with the pools of one deployment, and act on them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.targets: dict[Role, PoolTarget] = {}
        self.places: dict[Role, tuple[str, str]] = {}
        self.paths: dict[Role, str] = {}
        self.accounts = 0

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return crds.create(self.cluster, self.namespace, manifest)

    def pool(self, role: Role, manifest: dict[str, Any]) -> None:
        """Put a pool into an object that has a Scale."""
        self.create(manifest)
        self.targets[role] = acting.target(manifest, self.namespace)
        self.paths[role] = self.path(manifest)

    def graph(self, manifest: dict[str, Any]) -> None:
        """Put both pools into one graph."""
        self.create(manifest)
        for role in (PREFILL, DECODE):
            self.targets[role] = acting.target(manifest, self.namespace)
            self.paths[role] = self.path(manifest)

    def path(self, manifest: dict[str, Any]) -> str:
        return crds.path(
            self.namespace, manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]
        )

    def read(self, role: Role) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.request("GET", self.paths[role])
        return found

    def replicas(self, role: Role) -> int:
        return int(self.cluster.request("GET", f"{self.paths[role]}/scale")["spec"].get("replicas", 0))

    def counts(self) -> dict[Role, int]:
        return {role: self.replicas(role) for role in self.targets}

    def set(self, role: Role, replicas: int, by: str = "somebody") -> None:
        where = f"{self.paths[role]}/scale?fieldManager={by}"
        self.cluster.request("PATCH", where, {"spec": {"replicas": replicas}}, MERGE)

    def annotate(self, role: Role, **annotations: str | None) -> None:
        stated = {f"headgate.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
        self.cluster.request("PATCH", self.paths[role], {"metadata": {"annotations": stated}}, MERGE)

    def intent(self) -> str | None:
        annotations = self.read(PREFILL)["metadata"].get("annotations") or {}
        value = annotations.get(INTENT)
        return None if value is None else str(value)

    def account(self, rules: Sequence[Rule] | None = None) -> KubernetesCluster:
        """Return a client of a service account that has these rules; by default what scaling needs."""
        self.accounts += 1
        needed = scaling_rules(self.targets) if rules is None else rules
        name = f"headgate-{self.accounts}"
        made = self.cluster.make_service_account(self.namespace, name, [each.to_rule() for each in needed])
        return KubernetesCluster(kubernetes_access(made), connect_s=3.0, read_s=5.0)

    def act(self, before: Counts, after: Counts, **more: Any) -> Outcome:
        """Act under the account that is needed, on a decision that saw `before`."""
        cluster = more.pop("cluster", None) or self.account()
        observed = more.pop("observed", None) or builders.observation(counts=dict(before))
        actuator = acting.actuator(cluster, self.targets, **more)
        return actuator.act(acting.decision(before, after), observed)


@pytest.fixture
def stage(cluster: Cluster) -> Stage:
    crds.install(cluster)
    return Stage(cluster, cluster.make_namespace("act"))


@pytest.fixture
def pair(stage: Stage) -> Stage:
    """Two Deployments: 2 prefill replicas of one GPU, 4 decode replicas of four."""
    stage.pool(PREFILL, crds.workload("Deployment", "prefill", 2, gpus=1))
    stage.pool(DECODE, crds.workload("Deployment", "decode", 4, gpus=4))
    return stage


@pytest.mark.parametrize(
    "manifest",
    [
        crds.workload("Deployment", "pool", 2, gpus=4),
        crds.workload("StatefulSet", "pool", 2, gpus=4),
        crds.leader_worker_set("pool", 2, size=2, gpus=2),
        crds.fleet("pool", 2),
        crds.adapter("chat", "Decode", 2),
    ],
    ids=lambda value: value["kind"],
)
def test_every_kind_with_a_scale_is_scaled_under_exactly_the_verbs_that_are_stated(
    stage: Stage, manifest: dict[str, Any]
) -> None:
    stage.pool(DECODE, manifest)

    outcome = stage.act({DECODE: 2}, {DECODE: 5})

    assert outcome.status is Status.APPLIED, outcome.detail
    assert stage.counts() == {DECODE: 5}
    rules = {(rule.resource.partition("/")[2], rule.verbs) for rule in scaling_rules(stage.targets)}
    assert rules == {("", ("get",)), ("scale", ("get", "patch"))}


def test_components_of_a_graph_are_scaled_through_their_adapters(stage: Stage) -> None:
    stage.graph(
        crds.graph(
            "chat",
            [
                crds.component("Prefill", "prefill", 9, gpus=1, scalingAdapter={}),
                crds.component("Decode", "decode", 9, gpus=4, scalingAdapter={}),
            ],
        )
    )
    for role, name, count in ((PREFILL, "Prefill", 2), (DECODE, "Decode", 4)):
        adapter = crds.adapter("chat", name, count)
        stage.create(adapter)
        stage.paths[role] = stage.path(adapter)

    outcome = stage.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5})

    assert outcome.status is Status.APPLIED, outcome.detail
    assert stage.counts() == {PREFILL: 3, DECODE: 5}
    graph = stage.cluster.request("GET", crds.path(stage.namespace, crds.BETA, GRAPH, "chat"))
    assert [each["replicas"] for each in graph["spec"]["components"]] == [9, 9]
    assert INTENT not in graph["metadata"].get("annotations", {})


@pytest.mark.parametrize("api", ["v1beta1", "v1alpha1"])
def test_components_without_adapters_are_scaled_in_their_graph_by_one_patch(stage: Stage, api: str) -> None:
    if api == "v1beta1":
        stage.graph(
            crds.graph(
                "chat",
                [
                    crds.component("Decode", "decode", 4, gpus=4),
                    crds.component("Prefill", "prefill", 2, gpus=1),
                ],
            )
        )
    else:
        gpus = {"Prefill": ("prefill", 2, "1"), "Decode": ("decode", 4, "4")}
        services = {
            name: {
                "componentType": "worker",
                "subComponentType": kind,
                "replicas": count,
                "resources": {"limits": {"gpu": each}},
            }
            for name, (kind, count, each) in gpus.items()
        }
        stage.graph(crds.old_graph("chat", services))
    counting = Breaking(stage.account())

    outcome = stage.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 3}, cluster=counting)

    assert outcome.status is Status.APPLIED, outcome.detail
    spec = stage.read(PREFILL)["spec"]
    listed = spec["components"] if api == "v1beta1" else [spec["services"][n] for n in ("Decode", "Prefill")]
    assert [each["replicas"] for each in listed] == [3, 3]
    # Nothing can leave one patch half done: no intent before it, none to remove.
    assert counting.changes == 1


def test_a_component_that_moved_in_its_list_meanwhile_is_still_the_one_that_is_scaled(stage: Stage) -> None:
    components = [
        crds.component("Prefill", "prefill", 2, gpus=1),
        crds.component("Decode", "decode", 4, gpus=4),
    ]
    stage.graph(crds.graph("chat", components))

    def turn(number: int) -> None:
        if number == 1:
            swapped = {"spec": {"components": components[::-1]}}
            stage.cluster.request("PATCH", stage.paths[PREFILL], swapped, MERGE)

    turning = Breaking(stage.account(), meanwhile=turn)
    outcome = stage.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 4}, cluster=turning)

    assert outcome.status is Status.APPLIED, outcome.detail
    kept = {each["name"]: each["replicas"] for each in stage.read(PREFILL)["spec"]["components"]}
    assert kept == {"Prefill": 3, "Decode": 4}


def test_two_deployments_are_one_transaction_and_leave_no_intent(pair: Stage) -> None:
    seen: list[tuple[str | None, dict[Role, int]]] = []
    counting = Breaking(pair.account(), meanwhile=lambda number: seen.append((pair.intent(), pair.counts())))

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 4, DECODE: 3}, cluster=counting)

    assert outcome.status is Status.APPLIED, outcome.detail
    assert pair.counts() == {PREFILL: 4, DECODE: 3}
    assert pair.intent() is None
    # Announced before the first patch, downs first, removed after the last.
    assert [intent is not None for intent, _ in seen] == [False, True, True, True]
    assert [counts for _, counts in seen[2:]] == [{PREFILL: 2, DECODE: 3}, {PREFILL: 4, DECODE: 3}]


def test_nothing_is_sent_when_nothing_changes(pair: Stage) -> None:
    counting = Breaking(pair.account())

    same = {PREFILL: 2, DECODE: 4}
    assert pair.act(same, same, cluster=counting).status is Status.UNCHANGED
    assert (counting.changes, counting.reads) == (0, 1)

    pair.set(DECODE, 5)
    assert pair.act(same, {PREFILL: 2, DECODE: 5}, cluster=counting).status is Status.UNCHANGED
    assert counting.changes == 0


def test_a_pool_of_none_is_refused(pair: Stage) -> None:
    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 0, DECODE: 4})

    assert outcome.status is Status.FAILED
    assert "the least is 1" in outcome.detail
    assert pair.counts()[PREFILL] == 2


@pytest.mark.parametrize("taken", ["get deployments", "get deployments/scale", "patch deployments/scale"])
def test_a_verb_that_was_taken_away_is_named(stage: Stage, taken: str) -> None:
    stage.pool(DECODE, crds.workload("Deployment", "decode", 2, gpus=4))
    verb, resource = taken.split()
    rules = [
        Rule(r.namespace, r.api_group, r.resource, tuple(v for v in r.verbs if v != verb), r.names, r.why)
        if r.resource == resource
        else r
        for r in scaling_rules(stage.targets)
    ]
    account = stage.account([rule for rule in rules if rule.verbs])

    gaps = preflight(account, stage.targets, builders.layouts(), acts=True)
    outcome = stage.act({DECODE: 2}, {DECODE: 3}, cluster=account)

    assert any(f"may not {verb} {resource} named decode (apps)" in gap.reason for gap in gaps), gaps
    assert outcome.status is Status.FAILED
    wanted = f'{{apiGroups: ["apps"], resources: ["{resource}"], verbs: ["{verb}"]}}'
    assert f"the Role in namespace {stage.namespace} lacks {wanted}" in outcome.detail
    assert stage.counts() == {DECODE: 2}


def test_an_account_with_every_verb_that_is_stated_passes_the_preflight(pair: Stage) -> None:
    assert preflight(pair.account(), pair.targets, builders.layouts(), acts=True) == ()


def test_an_autoscaler_on_the_same_pool_is_told_of_where_the_account_may_look(pair: Stage) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "decode"}
    rival = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "old"},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 9},
    }
    where = f"/apis/autoscaling/v1/namespaces/{pair.namespace}/horizontalpodautoscalers"
    pair.cluster.request("POST", where, rival)
    looking = pair.account([*scaling_rules(pair.targets), *telling_rules(pair.targets)])

    gaps = preflight(looking, pair.targets, builders.layouts(), acts=True)

    assert [gap.what for gap in gaps] == ["decode target"]
    assert f"HorizontalPodAutoscaler {pair.namespace}/old scales Deployment" in gaps[0].reason
    assert preflight(pair.account(), pair.targets, builders.layouts(), acts=True) == ()


def test_a_role_that_is_refused_does_not_hold_up_the_other(pair: Stage) -> None:
    rules = [rule for rule in scaling_rules(pair.targets) if "decode" not in rule.names]

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5}, cluster=pair.account(rules))

    assert outcome.status is Status.FAILED
    assert "prefill 2 -> 3" in outcome.detail
    assert pair.counts() == {PREFILL: 3, DECODE: 4}


@pytest.mark.parametrize(("budget", "prefill"), [(18, 2), (22, 6)])
def test_an_up_waits_for_a_refused_down_only_where_it_needs_those_gpus(
    pair: Stage, budget: int, prefill: int
) -> None:
    pair.annotate(DECODE, paused_scale_in="true")
    limits = (GpuLimit(budget, frozenset(pair.targets), "budget"),)

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 6, DECODE: 3}, limits=limits)

    assert "decode is held at 4: scale-in is paused" in outcome.detail
    assert pair.counts() == {PREFILL: prefill, DECODE: 4}
    assert ("prefill waits for the GPUs of decode" in outcome.detail) is (prefill == 2)


def test_an_up_waits_for_a_down_that_cannot_even_be_read(pair: Stage) -> None:
    rules = [rule for rule in scaling_rules(pair.targets) if "decode" not in rule.names]
    limits = (GpuLimit(18, frozenset(pair.targets), "budget"),)

    outcome = pair.act(
        {PREFILL: 2, DECODE: 4}, {PREFILL: 6, DECODE: 3}, limits=limits, cluster=pair.account(rules)
    )

    assert outcome.status is Status.FAILED
    assert pair.counts() == {PREFILL: 2, DECODE: 4}


def test_an_up_goes_on_when_the_down_that_it_needs_was_made_already(pair: Stage) -> None:
    pair.set(DECODE, 3)
    limits = (GpuLimit(18, frozenset(pair.targets), "budget"),)

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 6, DECODE: 3}, limits=limits)

    assert outcome.status is Status.APPLIED
    assert pair.counts() == {PREFILL: 6, DECODE: 3}


def test_replicas_of_another_width_than_the_profiles_are_not_scaled(stage: Stage) -> None:
    stage.pool(DECODE, crds.workload("Deployment", "decode", 2, gpus=8))

    outcome = stage.act({DECODE: 2}, {DECODE: 3})

    assert outcome.status is Status.FAILED
    assert "takes 8 GPUs" in outcome.detail
    assert "TP4" in outcome.detail
    assert stage.counts() == {DECODE: 2}


def test_a_pool_that_was_scaled_by_hand_meanwhile_is_left_as_it_is(pair: Stage) -> None:
    pair.set(DECODE, 7, by="kubectl")

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5})

    assert outcome.status is Status.SUPERSEDED
    assert "decode went from 4 to 7" in outcome.detail
    assert pair.counts()[DECODE] == 7


def test_an_hpa_that_wins_the_race_for_the_same_pool_is_left_its_count(pair: Stage) -> None:
    racing = Breaking(pair.account(), meanwhile=lambda number: pair.set(DECODE, 7, by="hpa"))

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5}, cluster=racing)

    assert outcome.status is Status.SUPERSEDED
    assert pair.counts()[DECODE] == 7
    assert racing.changes == 1


def test_a_conflict_over_something_else_is_tried_once_more_on_fresh_data(pair: Stage) -> None:
    def touch(number: int) -> None:
        if number == 1:
            pair.annotate(DECODE, note="hello")

    touching = Breaking(pair.account(), meanwhile=touch)

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5}, cluster=touching)

    assert outcome.status is Status.APPLIED, outcome.detail
    assert touching.changes == 2


def test_an_object_that_changes_all_the_time_is_left_to_the_next_tick(pair: Stage) -> None:
    touching = Breaking(pair.account(), meanwhile=lambda number: pair.annotate(DECODE, note=str(number)))

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5}, cluster=touching)

    assert outcome.status is Status.SUPERSEDED
    assert touching.changes == 2
    assert pair.counts()[DECODE] == 4


def test_a_target_that_was_deleted_is_superseded_and_one_made_anew_too(pair: Stage) -> None:
    seen = builders.pool(4, uid=pair.read(DECODE)["metadata"]["uid"])
    observed = builders.observation(
        counts={PREFILL: 2, DECODE: 4}, pools={PREFILL: builders.pool(2), DECODE: seen}
    )
    before, after = {PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5}

    pair.cluster.request("DELETE", pair.paths[DECODE])
    gone = pair.act(before, after, observed=observed)
    pair.create(crds.workload("Deployment", "decode", 4, gpus=4))
    anew = pair.act(before, after, observed=observed)

    assert (gone.status, anew.status) == (Status.SUPERSEDED, Status.SUPERSEDED)
    assert "there is no Deployment" in gone.detail
    assert "made anew" in anew.detail
    assert pair.counts()[DECODE] == 4


@pytest.mark.parametrize(
    ("name", "value", "after", "held"),
    [
        ("paused", "true", 5, True),
        ("paused", "maybe", 5, True),
        ("paused", "false", 5, False),
        ("paused_scale_out", "true", 5, True),
        ("paused_scale_out", "true", 3, False),
        ("paused_scale_in", "true", 3, True),
        ("pinned_replicas", "4", 5, True),
        ("pinned_replicas", "5", 5, False),
        ("pinned_replicas", "none", 5, True),
    ],
)
def test_a_pause_that_came_after_the_look_is_kept(
    pair: Stage, name: str, value: str, after: int, held: bool
) -> None:
    pair.annotate(DECODE, **{name: value})

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: after})

    assert outcome.status is (Status.HELD if held else Status.APPLIED), outcome.detail
    assert pair.counts()[DECODE] == (4 if held else after)


def test_a_rollout_that_began_after_the_look_holds_the_role(pair: Stage) -> None:
    status = {"status": {"replicas": 5, "updatedReplicas": 1, "observedGeneration": 2}}
    pair.cluster.request("PATCH", f"{pair.paths[DECODE]}/status", status, MERGE)

    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5})

    assert outcome.status is Status.APPLIED
    assert "decode is held at 4: a rollout began, 1 of 5" in outcome.detail
    assert pair.counts() == {PREFILL: 3, DECODE: 4}


def test_a_process_that_leads_no_more_sends_nothing(pair: Stage) -> None:
    outcome = pair.act({PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5}, leading=lambda: False)

    assert outcome.status is Status.HELD
    assert pair.counts() == {PREFILL: 2, DECODE: 4}
    assert pair.intent() is None


def test_what_is_recommended_is_checked_by_the_server_and_not_kept(pair: Stage) -> None:
    before, after = {PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5}
    dry = ServerDryRun(pair.account(), pair.targets, builders.layouts(), StillClock())
    observed = builders.observation(counts=before)

    outcome = dry.act(acting.decision(before, after), observed)
    checked = dry.check(acting.decision(before, after), observed)

    assert outcome.status is Status.UNCHANGED
    assert outcome.detail.count("the server accepts it") == 2
    assert pair.counts() == before
    commands = [patch.command() for patch, _ in checked.patches]
    assert commands[0].startswith(f"kubectl -n {pair.namespace} patch deployment prefill --subresource=scale")


def test_a_dry_run_says_where_the_server_would_refuse_or_may_not_be_asked(pair: Stage) -> None:
    before, after = {PREFILL: 2, DECODE: 4}, {PREFILL: 2, DECODE: 5}
    observed = builders.observation(counts=before)
    reader = pair.account(scaling_rules(pair.targets, acts=False))
    dry = ServerDryRun(reader, pair.targets, builders.layouts(), StillClock())
    assert "may not patch" in dry.act(acting.decision(before, after), observed).detail

    pair.set(DECODE, 9)
    assert "went from 4 to 9" in dry.act(acting.decision(before, after), observed).detail
