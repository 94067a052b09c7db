"""Candidate templates: what is filled in where, and what is refused with its line."""

from pathlib import Path

import kubernetes_validate
import pytest

from config.template import NUMBERS, WORDS, parse_template, read_template
from models.errors import ConfigError
from tests.components import REPOSITORY

VALUES: dict[str, str | int] = {
    "name": "s-tp4",
    "namespace": "lab",
    "role": "decode",
    "layout": "TP4",
    "model": "gpt-oss-120b",
    "gpus": 4,
    "node_gpus": 2,
    "tp": 4,
    "pp": 1,
    "dp": 1,
    "ep": 1,
    "nodes": 2,
}
TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  annotations:
    headgate.io/endpoint: http://${name}.${namespace}.svc:8000
spec:
  replicas: ${nodes}
  template:
    spec:
      containers:
      - name: engine
        command: [sh, -c, "echo $${HOME} $(POD) $$"]
        args: ["--tp", "${tp}", "--name=${model}/${layout}"]
        ports:
        - containerPort: 800${tp}
---
# An empty document is no object.
---
apiVersion: v1
kind: Service
metadata: {name: "${name}-svc"}
"""


def test_placeholders_are_filled_into_values_and_the_endpoint() -> None:
    (deployment, service), endpoint = parse_template(TEMPLATE, "t.yaml").render(VALUES)

    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["--tp", "4", "--name=gpt-oss-120b/TP4"]
    assert service["metadata"]["name"] == "s-tp4-svc"
    assert endpoint == "http://s-tp4.lab.svc:8000"


def test_digits_without_quotes_are_a_number_and_with_quotes_text() -> None:
    (deployment, _), _ = parse_template(TEMPLATE, "t.yaml").render(VALUES)

    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["spec"]["replicas"] == 2
    assert container["ports"] == [{"containerPort": 8004}]
    assert container["args"][1] == "4"


def test_a_shells_own_variables_and_kubernetes_references_stay() -> None:
    (deployment, _), _ = parse_template(TEMPLATE, "t.yaml").render(VALUES)

    assert deployment["spec"]["template"]["spec"]["containers"][0]["command"][2] == "echo ${HOME} $(POD) $$"


def test_used_names_every_placeholder() -> None:
    assert parse_template(TEMPLATE, "t.yaml").used == {"name", "namespace", "nodes", "tp", "model", "layout"}


def test_rendering_leaves_the_template_as_it_was() -> None:
    template = parse_template(TEMPLATE, "t.yaml")

    first = template.render(VALUES)
    template.render({**VALUES, "name": "other", "tp": 8})

    assert template.render(VALUES) == first


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("${tp}", "${tpp}", r"t\.yaml:15: \$\{tpp\} is no placeholder; did you mean \$\{tp\}\?"),
        ("${tp}", "${HOSTNAME}", r"t\.yaml:15: .*a shell's own is written \$\$\{"),
        ('name: "${name}-svc"', "name: svc", r"t\.yaml:23: Service is named 'svc': .*\$\{name\}"),
        ("kind: Service", "knd: Service", r"t\.yaml:21: an object has no kind"),
        ("kind: Service", "kind: List", r"t\.yaml:21: is a List"),
        ("headgate.io/endpoint", "example.org/endpoint", r"says nowhere where the candidate answers"),
        (
            "  replicas: ${nodes}",
            "  replicas: 1\n  replicas: 2",
            r"t\.yaml:10: spec\.replicas is already there",
        ),
        ("spec:\n  replicas", "spec: !!python/none\n  replicas", r"t\.yaml:8: .*tag"),
        ("  replicas: ${nodes}", "  ${role}: 1", r"t\.yaml:9: a key cannot hold a placeholder"),
        ("kind: Service", "kind: [", r"t\.yaml:2\d: is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(was: str, now: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_template(TEMPLATE.replace(was, now, 1), "t.yaml")


@pytest.mark.parametrize("text", ["", "---\n---\n", "# nothing\n"])
def test_an_empty_template_says_what_it_takes(text: str) -> None:
    with pytest.raises(ConfigError, match="takes a DynamoGraphDeployment, or a Deployment with its Service"):
        parse_template(text, "t.yaml")


def test_a_flag_replaces_the_annotation() -> None:
    without = TEMPLATE.replace("headgate.io/endpoint", "example.org/endpoint")

    template = parse_template(without, "t.yaml", "http://gateway/${layout}")

    assert template.render(VALUES)[1] == "http://gateway/TP4"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        read_template(tmp_path / "absent.yaml")


def test_the_example_is_a_candidate_that_a_cluster_would_take() -> None:
    """`config/examples/candidates/vllm.yaml` is where users start from."""
    template = read_template(REPOSITORY / "config/examples/candidates/vllm.yaml")
    values: dict[str, str | int] = dict.fromkeys(WORDS, "x") | dict.fromkeys(NUMBERS, 4)

    objects, endpoint = template.render(values)

    assert [each["kind"] for each in objects] == ["Deployment", "Service"]
    assert endpoint == "http://x.x:8000"
    for each in objects:
        kubernetes_validate.validate(each, "1.34", strict=True)
