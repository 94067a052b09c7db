"""A layout is read from a template and written into it, by what each engine calls its widths."""

from typing import Any

import pytest

from config.arguments import engine_arguments
from models.values import Parallelism
from planner.cluster.podforms import PodForm, pod_forms
from planner.cluster.widths import deployed, holds, rewritten, undone

TP1, TP4, TEP4 = Parallelism(tp=1), Parallelism(tp=4), Parallelism(tp=4, ep=4)
DEP4, DEP8, TP8 = Parallelism(dp=4, ep=4), Parallelism(dp=8, ep=8), Parallelism(tp=8)
ALL = (TP1, TP4, TEP4, DEP4, DEP8, TP8)


def deployment(gpus: object, *args: str, **container: Any) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": gpus}
    engine = {"name": "engine", "args": list(args), "resources": {"limits": limits}, **container}
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [engine]}}}}


def forms(manifest: dict[str, Any], component: str | None = None) -> tuple[PodForm, ...]:
    found = pod_forms(manifest, component)
    assert not isinstance(found, str), found
    return found


def applied(manifest: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Apply operations as an API server does."""
    import copy

    made = copy.deepcopy(manifest)
    for each in operations:
        *parents, last = [p.replace("~1", "/") for p in each["path"].strip("/").split("/")]
        at: Any = made
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        if each["op"] == "test":
            assert at[last] == each["value"], each
        elif each["op"] == "remove":
            del at[last]
        else:
            at[last] = each["value"]
    return made


ENGINES = [
    ("vllm", TP1, ()),
    ("vllm", TP4, ("--tensor-parallel-size", "4")),
    ("vllm", TP4, ("-tp=4",)),
    ("vllm", TEP4, ("--tensor-parallel-size", "4", "--enable-expert-parallel")),
    ("vllm", DEP4, ("--data-parallel-size", "4", "--enable-expert-parallel")),
    ("sglang", TP4, ("--tp", "4")),
    ("sglang", TEP4, ("--tp-size", "4", "--ep-size", "4")),
    ("sglang", DEP4, ("--tp", "4", "--dp", "4", "--ep", "4", "--enable-dp-attention")),
    ("trtllm", TEP4, ("--tp_size", "4", "--ep_size", "4")),
    ("trtllm", DEP4, ("--tensor-parallel-size", "4", "--expert-parallel-size=4", "--enable-attention-dp")),
]


@pytest.mark.parametrize(("name", "layout", "args"), ENGINES)
def test_each_engines_way_to_say_a_layout_is_read(
    name: str, layout: Parallelism, args: tuple[str, ...]
) -> None:
    template = forms(deployment(str(layout.gpus), "--model", "m", *args))
    assert deployed(template, ALL, engine_arguments(name)) == layout


@pytest.mark.parametrize(("name", "start", "args"), ENGINES)
@pytest.mark.parametrize("to", [TP1, TP4, TEP4, DEP4])
def test_what_is_written_is_read_back_and_undone_to_the_letter(
    name: str, start: Parallelism, args: tuple[str, ...], to: Parallelism
) -> None:
    before = deployment(start.gpus, "--model", "m", *args, "--seed", "1")
    engine = engine_arguments(name)
    operations = rewritten(forms(before), to, engine, 4)
    assert not isinstance(operations, str), operations

    after = applied(before, operations)
    assert deployed(forms(after), ALL, engine) == to
    args_after = after["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args_after[:2] == ["--model", "m"], "what says nothing of widths is as it was"
    assert args_after.index("1", args_after.index("--seed")) == args_after.index("--seed") + 1
    assert holds(after, undone(operations))
    assert holds(before, undone(operations)) == (start == to)
    assert applied(after, undone(operations)) == before


def test_a_component_of_the_older_shape_states_gpus_and_nodes_beside_its_pod() -> None:
    service = {
        "resources": {"limits": {"gpu": "4"}, "requests": {"gpu": "4"}},
        "extraPodSpec": {"mainContainer": {"args": ["--tensor-parallel-size", "4"]}},
    }
    graph = {"kind": "DynamoGraphDeployment", "spec": {"services": {"Decode": service}}}
    wide = Parallelism(tp=16)
    operations = rewritten(forms(graph, "Decode"), wide, engine_arguments("vllm"), 4)
    assert not isinstance(operations, str), operations

    after = applied(graph, operations)["spec"]["services"]["Decode"]
    assert after["multinode"] == {"nodeCount": 4}
    assert after["resources"] == service["resources"], "a tray is a tray"
    assert after["extraPodSpec"]["mainContainer"]["args"] == ["--tensor-parallel-size", "16"]
    back = rewritten(
        forms({"spec": {"services": {"Decode": after}}}, "Decode"), TP4, engine_arguments("vllm"), 4
    )
    assert not isinstance(back, str), back
    assert applied({"spec": {"services": {"Decode": after}}}, back) == {
        "spec": {"services": {"Decode": service}}
    }


def test_leader_and_workers_of_a_set_are_changed_together() -> None:
    def pods(*args: str) -> dict[str, Any]:
        limits = {"nvidia.com/gpu": "4"}
        return {"spec": {"containers": [{"name": "e", "args": list(args), "resources": {"limits": limits}}]}}

    group = {"size": 2, "leaderTemplate": pods("serve", "-tp", "8"), "workerTemplate": pods("join")}
    manifest = {"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": group}}
    assert deployed(forms(manifest), ALL, engine_arguments("vllm")) == TP8
    operations = rewritten(forms(manifest), Parallelism(tp=16), engine_arguments("vllm"), 4)
    assert not isinstance(operations, str), operations
    after = applied(manifest, operations)["spec"]["leaderWorkerTemplate"]
    assert after["size"] == 4
    assert after["leaderTemplate"]["spec"]["containers"][0]["args"] == ["serve", "-tp", "16"]
    assert after["workerTemplate"] == group["workerTemplate"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (deployment("4", "python -m dynamo.vllm --tensor-parallel-size 4"), "a line of a shell"),
        (deployment("4", "--config", "engine.yaml"), "--config may state widths of its own"),
        (deployment("4", "-tp", "$(TP)"), "-tp is '$(TP)', which is no number"),
        (deployment("4", "-tp", "4", "--tensor-parallel-size=4"), "is given 2 times"),
        (deployment("4"), "neither command nor args"),
        (
            {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"args": ["x"]}]}}}},
            "no limit of GPUs",
        ),
    ],
)
def test_a_template_that_is_not_understood_is_refused_with_what_is_needed(
    manifest: dict[str, Any], said: str
) -> None:
    refused = rewritten(forms(manifest), TP8 if "4" in str(manifest) else TP4, engine_arguments("vllm"), 8)
    assert isinstance(refused, str)
    assert said in refused


def test_an_engine_that_is_not_known_is_told_by_its_gpus_and_never_written() -> None:
    template = forms(deployment("8", "serve"))
    assert deployed(template, (TP4, TP8), None) == TP8
    assert deployed(template, (TP8, DEP8), None) == "its template takes 8 GPUs and fits TP8 and DEP8"
    assert "is not known" in str(rewritten(template, TP4, None, 8))


def test_which_container_runs_the_engine_must_be_told() -> None:
    two = [{"name": "a"}, {"name": "b"}]
    said = pod_forms({"spec": {"template": {"spec": {"containers": two}}}}, None)
    assert isinstance(said, str)
    assert "2 containers" in said
