"""A candidate's objects: marked as ours, in one namespace, with the GPUs of its layout."""

import pytest

from models.errors import ConfigError
from models.values import Parallelism, Role
from profiler.measure.deployed.candidate import Setting, candidate, gpus_asked
from tests.unit.deployed.stage import SETTING, TEMPLATE, rendered, template


def test_objects_and_their_pods_carry_the_sweep_and_the_candidate() -> None:
    deployment, service = rendered().objects

    ours = {"headgate.io/sweep": "sweep", "headgate.io/candidate": "sweep-tp4"}
    for labels in (
        deployment["metadata"]["labels"],
        deployment["spec"]["template"]["metadata"]["labels"],
        service["metadata"]["labels"],
    ):
        assert ours.items() <= labels.items()
    assert deployment["spec"]["template"]["metadata"]["labels"]["app"] == "sweep-tp4"


def test_every_object_goes_with_its_owner() -> None:
    assert [each["metadata"]["ownerReferences"] for each in rendered().objects] == [
        [dict(SETTING.owners[0])]
    ] * 2


def test_roles_that_render_alike_share_a_candidate() -> None:
    assert rendered(role=Role.PREFILL) == rendered(role=Role.DECODE)


def test_a_template_that_names_the_role_makes_one_candidate_per_role() -> None:
    text = TEMPLATE.replace('["--tp"', '["--role", "${role}", "--tp"')

    assert rendered(role=Role.PREFILL, text=text).name == "sweep-prefill-tp4"
    assert rendered(role=Role.DECODE, text=text).name == "sweep-decode-tp4"


def test_dynamo_graph_pods_are_labelled_whatever_the_component() -> None:
    text = """
apiVersion: nvidia.com/v1beta1
kind: DynamoGraphDeployment
metadata:
  name: ${name}
  annotations: {headgate.io/endpoint: "http://${name}-frontend:8000"}
spec:
  components:
  - name: Frontend
    podTemplate: {spec: {containers: [{name: main, image: a}]}}
  - name: Decode
    replicas: 1
    multinode:
      nodeCount: ${nodes}
    podTemplate:
      spec:
        containers:
        - {name: main, image: a, resources: {limits: {nvidia.com/gpu: "${node_gpus}"}}}
"""
    found = candidate(template(text), SETTING, Role.DECODE, Parallelism(dp=8, ep=8))

    components = found.objects[0]["spec"]["components"]
    assert all("headgate.io/candidate" in each["podTemplate"]["metadata"]["labels"] for each in components)
    assert components[1]["multinode"] == {"nodeCount": 2}
    assert gpus_asked(found.objects) == 8


def test_gpus_are_counted_over_replicas_and_none_asked_is_none() -> None:
    assert gpus_asked(rendered().objects) == 4
    assert gpus_asked(rendered().objects[1:]) is None


def test_a_template_that_leaves_the_namespace_is_refused() -> None:
    text = TEMPLATE.replace("kind: Service\nmetadata: {", "kind: Service\nmetadata: {namespace: other, ")

    with pytest.raises(ConfigError, match="into namespace other, and the sweep runs in lab"):
        rendered(text=text)


def test_a_name_that_kubernetes_cannot_take_is_refused() -> None:
    setting = Setting("s" * 60, "lab", "m", 4)

    with pytest.raises(ConfigError, match="shorter --name"):
        candidate(template(), setting, Role.DECODE, Parallelism(tp=4))


def test_what_is_rendered_tells_one_candidate_from_a_changed_one() -> None:
    assert rendered().digest != rendered(text=TEMPLATE.replace("engine:1", "engine:2")).digest
