"""Run a sweep in a cluster from beginning to end: check, launch or find again, follow, merge, clean up."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.artifact import Effort
from models.errors import InputError
from models.values import Parallelism, Role
from profiler.cluster import Cluster, Manifest
from profiler.jobs.following import Follower, Patience, follow
from profiler.jobs.inputs import Inputs, Shard
from profiler.jobs.launching import Launch, create
from profiler.jobs.naming import INPUTS, PAGE
from profiler.jobs.pages import entries_of, page_data, replicas_of
from profiler.jobs.tidying import tidy
from profiler.measure.backend import Refusal, Replica
from profiler.measure.deployed.backend import Memory
from profiler.measure.deployed.candidate import SWEEP
from profiler.measure.deployed.deployer import NOT_STARTED
from profiler.store import Entry, Store
from profiler.sweep import Progress, Swept


@dataclass(frozen=True, slots=True)
class Local:
    """Hold what outlives the sweep's objects: every measurement, and what replicas said of themselves."""

    store: Store
    memory: Memory


@dataclass(frozen=True, slots=True)
class Voice:
    """Tell a person what happens: in sentences, and as progress in points."""

    say: Callable[[str], None]
    progress: Progress | None = None


def run_job(
    cluster: Cluster,
    inputs: Inputs,
    prepare: Callable[[], Launch],
    kinds: Sequence[tuple[str, str]],
    local: Local,
    voice: Voice,
    keep: bool = False,
    patience: Patience | None = None,
) -> Swept:
    """Run the sweep and return what its shards found, in the order of the shards.

    A sweep of the same name and inputs that still runs is followed instead of started; what an older one
    measured is taken over. `kinds` are the API versions and kinds of the candidates' objects. Whatever ends
    this call, everything but the artifact is deleted, unless `keep` says to leave it.
    """
    running = _running(cluster, inputs, kinds, local, voice)
    waits = patience or Patience()
    launch = None if running else prepare()
    root = None if launch is None else cluster.create(launch.root)
    try:
        if launch is not None and root is not None:
            create(cluster, launch, root)
            voice.say(f"created Job {inputs.sweep} in namespace {inputs.namespace}: {_dealt(inputs.shards)}")
        follower = Follower(
            len(inputs.shards), local.store, local.memory, voice.say, voice.progress, waits, time.monotonic
        )
        found = follow(cluster, inputs.sweep, inputs.namespace, follower, waits)
    finally:
        if keep:
            ending = f"kubectl -n {inputs.namespace} delete configmap {inputs.sweep}"
            voice.say(f"left everything as it is; `{ending}` ends it")
        else:
            voice.say("cleaning up")
            tidy(cluster, inputs.sweep, inputs.namespace, kinds)
    return merged([found[number] for number in sorted(found)])


def seeds(inputs: Inputs, entries: Iterable[Entry], local: Local) -> list[list[dict[str, str]]]:
    """Return per shard the pages of what is known already; a candidate that did not start is tried anew."""
    kept = [
        entry
        for entry in entries
        if not (isinstance(entry.result, Refusal) and entry.result.reason.startswith(NOT_STARTED))
    ]
    made = []
    for shard in inputs.shards:
        work = set(shard.work)
        mine = [entry for entry in kept if (entry.point.role, entry.point.parallelism) in work]
        replicas = {
            where: known for where in shard.work if (known := local.memory.recall(*where)) is not None
        }
        made.append(page_data(mine, replicas))
    return made


def merged(found: Iterable[Swept]) -> Swept:
    """Return several sweeps of different layouts as one."""
    parts = list(found)
    return Swept(
        tuple(layout for part in parts for layout in part.layouts),
        tuple(left for part in parts for left in part.left_out),
        Effort(
            sum(part.effort.points for part in parts),
            sum(part.effort.grid_points for part in parts),
            round(sum(part.effort.gpu_minutes for part in parts), 3),
        ),
    )


def _running(
    cluster: Cluster, inputs: Inputs, kinds: Sequence[tuple[str, str]], local: Local, voice: Voice
) -> bool:
    """Say whether this very sweep runs already; take over and delete what is left of one that ended."""
    root = cluster.get("v1", "ConfigMap", inputs.sweep, inputs.namespace)
    label = f"{SWEEP}={inputs.sweep}"
    jobs = cluster.find("batch/v1", "Job", inputs.namespace, label)
    if root is None and not jobs:
        return False
    notes = root["metadata"].get("annotations") or {} if root else {}
    if root is not None and INPUTS not in notes:
        raise InputError(
            f"there is a ConfigMap {inputs.sweep} in namespace {inputs.namespace} that no sweep made; "
            "give this one another --name"
        )
    ends = [_ended(job) for job in jobs]
    same = notes.get(INPUTS) == inputs.digest
    if same and jobs and "Failed" not in ends:
        state = "runs already: following it" if "" in ends else "is done already: collecting what it found"
        voice.say(f"Job {inputs.sweep} {state}")
        return True
    if "" in ends and not same:
        raise InputError(
            f"a sweep {inputs.sweep} with other inputs runs in namespace {inputs.namespace}; wait for it, "
            f"end it with `kubectl -n {inputs.namespace} delete configmap {inputs.sweep}`, or give this one "
            "another --name"
        )
    voice.say(f"taking over what an earlier sweep {inputs.sweep} measured")
    if same:
        _harvest(cluster, inputs, local)
    tidy(cluster, inputs.sweep, inputs.namespace, kinds)
    return False


def _harvest(cluster: Cluster, inputs: Inputs, local: Local) -> None:
    known = dict(local.store.read())
    for page in cluster.find("v1", "ConfigMap", inputs.namespace, f"{SWEEP}={inputs.sweep},{PAGE}=true"):
        for entry in entries_of(page):
            if known.get(entry.point) != entry:
                local.store.add(entry)
        found: dict[tuple[Role, Parallelism], Replica] = replicas_of(page)
        for where, replica in found.items():
            local.memory.keep(*where, replica)


def _ended(job: Manifest) -> str:
    """Return how a Job ended: `Complete`, `Failed`, or empty while it runs."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    ends = [each["type"] for each in conditions if each["status"] == "True"]
    return next((end for end in ends if end in {"Complete", "Failed"}), "")


def _dealt(shards: Sequence[Shard]) -> str:
    layouts = sum(len(shard.work) for shard in shards)
    points = sum(shard.points for shard in shards)
    return f"{layouts} layouts by role, up to {points} points, in {len(shards)} pods"
