"""Read which layout an owner's template runs, and write another one into it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.engine_arguments import Argument, EngineArguments
from models.values import Parallelism
from planner.cluster.podforms import PodForm

Operation = Mapping[str, Any]
_WORDS = ("command", "args")


def deployed(
    forms: Sequence[PodForm], known: Iterable[Parallelism], engine: EngineArguments | None
) -> Parallelism | str:
    """Return the layout, of those that are `known`, that a template runs; or why that cannot be told.

    Its GPUs and every argument of the engine must agree; what a command line leaves out stands for 1. Where
    the engine's arguments are not known, its GPUs alone must leave one layout.
    """
    gpus = gpus_of(forms)
    if gpus is None:
        return "its pods state no limit of GPUs"
    fitting = [layout for layout in known if layout.gpus == gpus]
    if engine is not None:
        said = _said(forms[0].container, engine)
        if isinstance(said, str):
            return said
        fitting = [
            each for each in fitting if all(_agrees(a, said.get(a.flags), each) for a in engine.arguments)
        ]
    if len(fitting) == 1:
        return fitting[0]
    names = " and ".join(each.name for each in fitting)
    fits = f"fits {names}" if names else "fits no layout of the profile"
    return f"its template takes {gpus} GPUs and {fits}"


def gpus_of(forms: Sequence[PodForm]) -> int | None:
    """Return the GPUs of a replica, as its templates state them."""
    counts = [form.gpus * form.pods for form in forms if form.gpus is not None]
    return sum(counts) if counts else None


def rewritten(
    forms: Sequence[PodForm], to: Parallelism, engine: EngineArguments | None, gpus_per_node: int
) -> tuple[Operation, ...] | str:
    """Return the operations (RFC 6902) that write a layout into a template, each guarded by what it replaces.

    Only arguments of the engine, limits of GPUs and the number of nodes are changed. Returns why not, and
    what would be needed, where a template is not understood.
    """
    if engine is None:
        return "how its engine is told its widths is not known; add it under presets/arguments"
    nodes = to.nodes(gpus_per_node)
    first = forms[0]
    if to.gpus % nodes:
        return f"{to.name} takes {to.gpus} GPUs, which are not the same number on each of {nodes} nodes"
    if nodes > 1 and not first.nodes_pointer:
        return (
            f"{to.name} spans {nodes} nodes, and a replica of this kind is one pod; make it a "
            "LeaderWorkerSet or a component of a DynamoGraphDeployment"
        )
    if len(forms) > 1 and (nodes == 1 or first.nodes == 1):
        return "its leader and its workers are templates of their own: a replica of one node would be another"
    operations: list[Operation] = []
    for form in forms:
        if form.gpus is None:
            return "its pods state no limit of GPUs (are they claimed through DRA?): state nvidia.com/gpu"
        changed = _arguments(form, to, engine, required=form is first)
        if isinstance(changed, str):
            return changed
        operations += changed
        for pointer, stated in form.gpu_places.items():
            operations += _replaced(pointer, stated, to.gpus // nodes)
    if nodes != first.nodes:
        operations += _nodes(first, nodes)
    return tuple(operations)


def _arguments(
    form: PodForm, to: Parallelism, engine: EngineArguments, required: bool
) -> list[Operation] | str:
    """Write the engine's arguments; a worker that joins its leader may have none."""
    said = _said(form.container, engine)
    if isinstance(said, str):
        return said if required else []
    if not required and not said:
        return []
    part = _part(form.container, engine)
    if part is None:
        return "its container has neither command nor args: state the engine's command line in the template"
    before: list[str] = list(form.container[part])
    after = list(before)
    for argument in engine.arguments:
        after = _written(after, argument, argument.of(to))
    if after == before:
        return []
    return [
        {"op": "test", "path": f"{form.pointer}/{part}", "value": before},
        {"op": "replace", "path": f"{form.pointer}/{part}", "value": after},
    ]


def _said(container: Mapping[str, Any], engine: EngineArguments) -> dict[tuple[str, ...], int] | str:
    """Return the figure of each argument that is there; or why the command line cannot be read."""
    words = [str(word) for part in _WORDS for word in container.get(part) or ()]
    spellings = {flag for argument in engine.arguments for flag in argument.flags}
    for word in words:
        if any(char.isspace() for char in word) and any(flag in word for flag in spellings):
            return "its engine is started by a line of a shell; write the arguments as a list"
    hidden = next((word for word in words if word.partition("=")[0] in engine.unreadable), None)
    if hidden is not None:
        return f"{hidden.partition('=')[0]} may state widths of its own, which are not seen here"
    said: dict[tuple[str, ...], int] = {}
    for argument in engine.arguments:
        places = [i for i, word in enumerate(words) if word.partition("=")[0] in argument.flags]
        if len(places) > 1:
            return f"{argument.flags[0]} is given {len(places)} times"
        if not places:
            continue
        flag, sign, text = words[places[0]].partition("=")
        if argument.switch:
            said[argument.flags] = 2  # more than one: it says no more than that
            continue
        value = text if sign else words[places[0] + 1] if places[0] + 1 < len(words) else ""
        if not (value.isascii() and value.isdigit()):
            return f"{flag} is {value!r}, which is no number; write it out"
        said[argument.flags] = int(value)
    return said


def _agrees(argument: Argument, said: int | None, layout: Parallelism) -> bool:
    wanted = argument.of(layout)
    if argument.switch:
        return (said is not None) == (wanted > 1)
    return (1 if said is None else said) == wanted


def _part(container: Mapping[str, Any], engine: EngineArguments) -> str | None:
    """Return where arguments stand: with those that are there, else behind the last word."""
    flags = {flag for argument in engine.arguments for flag in argument.flags}
    for part in _WORDS:
        if any(str(word).partition("=")[0] in flags for word in container.get(part) or ()):
            return part
    return next((part for part in reversed(_WORDS) if container.get(part)), None)


def _written(words: list[str], argument: Argument, value: int) -> list[str]:
    """Return a command line with one argument set; one that is absent and would say 1 stays so."""
    at = next((i for i, word in enumerate(words) if word.partition("=")[0] in argument.flags), None)
    if argument.switch:
        if at is not None:
            return words if value > 1 else [*words[:at], *words[at + 1 :]]
        return [*words, argument.flags[0]] if value > 1 else words
    if at is None:
        return words if value == 1 else [*words, argument.flags[0], str(value)]
    flag, sign, _ = words[at].partition("=")
    if sign:
        return [*words[:at], f"{flag}={value}", *words[at + 1 :]]
    return [*words[: at + 1], str(value), *words[at + 2 :]]


def _replaced(pointer: str, before: Any, count: int) -> list[Operation]:
    after: Any = count if isinstance(before, int) else str(count)
    if before == after:
        return []
    return [
        {"op": "test", "path": pointer, "value": before},
        {"op": "replace", "path": pointer, "value": after},
    ]


def _nodes(form: PodForm, nodes: int) -> list[Operation]:
    """Write the number of nodes; a component of one node does not speak of them."""
    whole = form.nodes_pointer.removesuffix("/nodeCount")
    if whole == form.nodes_pointer and form.states_nodes:
        return _replaced(form.nodes_pointer, form.nodes, nodes)
    if not form.states_nodes:
        value: Any = nodes if whole == form.nodes_pointer else {"nodeCount": nodes}
        return [{"op": "add", "path": whole, "value": value}]
    if nodes == 1:
        return [
            {"op": "test", "path": form.nodes_pointer, "value": form.nodes},
            {"op": "remove", "path": whole},
        ]
    return _replaced(form.nodes_pointer, form.nodes, nodes)


def undone(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return the operations that take others back, each guarded by what those left."""
    back: list[Operation] = []
    before: dict[str, Any] = {each["path"]: each["value"] for each in operations if each["op"] == "test"}
    for each in reversed([each for each in operations if each["op"] != "test"]):
        path = each["path"]
        if each["op"] == "replace":
            back += [
                {"op": "test", "path": path, "value": each["value"]},
                {"op": "replace", "path": path, "value": before[path]},
            ]
        elif each["op"] == "add":
            back += [{"op": "test", "path": path, "value": each["value"]}, {"op": "remove", "path": path}]
        else:
            back.append({"op": "add", "path": path, "value": {"nodeCount": before[f"{path}/nodeCount"]}})
    return tuple(back)


def holds(manifest: Mapping[str, Any], operations: Sequence[Operation]) -> bool:
    """Say whether a manifest is as the `test`s of some operations want it."""
    return all(_at(manifest, each["path"]) == each["value"] for each in operations if each["op"] == "test")


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return value
