"""What an account must be allowed is stated per target, and not a verb more."""

import pytest

from models.target import ObjectRef, PoolTarget
from planner.cluster.needs import intent_owner, plural, scaling_rules
from tests.acting import DECODE, PREFILL

GRAPH = ObjectRef("nvidia.com/v1beta1", "DynamoGraphDeployment", "chat", "shop")


def deployment(name: str) -> PoolTarget:
    return PoolTarget(ObjectRef("apps/v1", "Deployment", name, "shop"))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Deployment", "deployments"),
        ("LeaderWorkerSet", "leaderworkersets"),
        ("InferencePolicy", "inferencepolicies"),
        ("Gateway", "gateways"),
        ("RoleClass", "roleclasses"),
    ],
)
def test_a_kind_is_named_in_the_plural_as_resources_are(kind: str, expected: str) -> None:
    assert plural(kind) == expected


def test_one_pool_needs_to_read_its_owner_and_to_patch_its_scale() -> None:
    rules = scaling_rules({DECODE: deployment("decode")})
    assert [rule.to_rule() for rule in rules] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["decode"]},
        {
            "apiGroups": ["apps"],
            "resources": ["deployments/scale"],
            "verbs": ["get", "patch"],
            "resourceNames": ["decode"],
        },
    ]


def test_a_pair_also_annotates_the_owner_of_the_first_whoever_asks() -> None:
    pair = {DECODE: deployment("decode"), PREFILL: deployment("prefill")}
    assert intent_owner(pair).name == intent_owner(dict(reversed(pair.items()))).name == "prefill"
    patched = [
        rule for rule in scaling_rules(pair) if rule.resource == "deployments" and "patch" in rule.verbs
    ]
    assert [rule.names for rule in patched] == [("prefill",)]


def test_components_need_their_graph_and_its_adapters_by_name_where_it_is_known() -> None:
    named = {DECODE: PoolTarget(GRAPH, "DecodeWorker")}
    rules = {rule.resource: rule for rule in scaling_rules(named)}
    assert rules["dynamographdeployments"].verbs == ("get", "patch")
    assert rules["dynamographdeploymentscalingadapters/scale"].names == ("chat-decodeworker",)
    by_type = {rule.resource: rule for rule in scaling_rules({DECODE: PoolTarget(GRAPH)})}
    assert by_type["dynamographdeploymentscalingadapters/scale"].names == ()


def test_who_only_looks_needs_no_verb_that_changes() -> None:
    pair = {PREFILL: PoolTarget(GRAPH), DECODE: deployment("decode")}
    assert {verb for rule in scaling_rules(pair, acts=False) for verb in rule.verbs} == {"get"}
