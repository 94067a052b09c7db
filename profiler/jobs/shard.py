"""Do one pod's share of a sweep, and leave the result where it is collected."""

from collections.abc import Callable, Mapping

from models.errors import ClusterError, InputError, MeasureError
from profiler.cluster import Cluster, Manifest
from profiler.jobs.inputs import Inputs, Shard, parse_inputs
from profiler.jobs.manifests import INDEX
from profiler.jobs.naming import INPUTS_KEY, page_name, result_name
from profiler.jobs.pages import Pages, pages_needed
from profiler.sweep import Swept

Work = Callable[[Inputs, Shard, Pages, tuple[Mapping[str, str], ...]], Swept]
"""Sweeps a shard's layouts with these pages as store and memory; candidates get these owners."""


def run_shard(
    cluster: Cluster, namespace: str, sweep: str, environ: Mapping[str, str], work: Work
) -> Swept | None:
    """Do the share that `JOB_COMPLETION_INDEX` names; return what was found, `None` if it was done before.

    Raises InputError when there is no such sweep or share, MeasureError when measuring broke down.
    """
    root = _map(cluster, sweep, namespace)
    inputs = parse_inputs((root.get("data") or {}).get(INPUTS_KEY, ""))
    number = _index(environ, len(inputs.shards))
    result = _map(cluster, result_name(sweep, number), namespace)
    if result.get("binaryData"):
        return None
    pages = _pages(cluster, inputs, number)
    writer = environ.get("HEADGATE_POD") or "a process outside the cluster"
    store = Pages(cluster, pages, result, writer, inputs.policy.patience_s)
    swept = work(inputs, inputs.shards[number], store, _owners(root, environ))
    store.finish(swept)
    return swept


def _pages(cluster: Cluster, inputs: Inputs, number: int) -> list[Manifest]:
    """Return the shard's pages; there may be more than it needs, where earlier runs measured a lot."""
    least = pages_needed(inputs.shards[number].points)
    found = [_map(cluster, page_name(inputs.sweep, number, page), inputs.namespace) for page in range(least)]
    while True:
        try:
            name = page_name(inputs.sweep, number, len(found))
            more = cluster.get("v1", "ConfigMap", name, inputs.namespace)
        except ClusterError:
            return found  # the Role names every page: what it does not name is not there
        if more is None:
            return found
        found.append(more)


def _index(environ: Mapping[str, str], shards: int) -> int:
    text = environ.get(INDEX, "")
    if not text.isdigit() or int(text) >= shards:
        raise InputError(f"{INDEX} is {text!r}, and the shards are 0 to {shards - 1}")
    return int(text)


def _map(cluster: Cluster, name: str, namespace: str) -> Manifest:
    try:
        found = cluster.get("v1", "ConfigMap", name, namespace)
    except ClusterError as error:
        raise MeasureError(str(error)) from None
    if found is None:
        raise InputError(f"there is no ConfigMap {name} in namespace {namespace}: the sweep was ended")
    return found


def _owners(root: Manifest, environ: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    """Return who takes candidates along: this pod's Job, so that no GPU outlives it, or the root."""
    name, uid = environ.get("HEADGATE_JOB"), environ.get("HEADGATE_JOB_UID")
    if name and uid:
        return ({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid},)
    metadata = root["metadata"]
    return ({"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"]},)
