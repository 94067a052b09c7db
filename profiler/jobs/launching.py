"""Create what a sweep needs in a cluster, in the order in which one thing needs another."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.errors import ClusterError, ConfigError
from profiler.cluster import Cluster, Manifest, names
from profiler.jobs.inputs import Inputs
from profiler.jobs.manifests import (
    Kind,
    PodShape,
    access_manifests,
    job_manifest,
    owned,
    page_manifests,
    root_manifest,
    shard_jobs,
)
from profiler.measure.deployed.candidate import Candidate, gpus_asked

CONFLICT, FORBIDDEN = 409, 403


@dataclass(frozen=True, slots=True)
class Launch:
    """Hold the objects of a sweep: the root that owns the others, those, and the Jobs."""

    root: Manifest
    others: tuple[Manifest, ...]
    jobs: tuple[Manifest, ...]

    @property
    def all(self) -> tuple[Manifest, ...]:
        """Every object, in the order of creation."""
        return (self.root, *self.others, *self.jobs)


def check_candidates(cluster: Cluster, candidates: Iterable[Candidate]) -> tuple[Kind, ...]:
    """Have the API server check every candidate without keeping it; return the kinds with all their names.

    Raises ConfigError for what it refuses, for kinds outside namespaces, and where the GPUs that a template
    asks for are not those of the layout.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    for each in candidates:
        asked = gpus_asked(each.objects)
        if asked is not None and asked != each.gpus:
            raise ConfigError(
                f"the template asks for {asked} GPUs for {each.name}, which takes {each.gpus}: write "
                '`nvidia.com/gpu: "${node_gpus}"` with a nodeCount (or size) of `${nodes}`'
            )
        for manifest in each.objects:
            api_version, kind, name, _ = names(manifest)
            group, plural, namespaced = cluster.resource(api_version, kind)
            if not namespaced:
                raise ConfigError(
                    f"the template has a {kind}, which belongs to no namespace; create it yourself"
                )
            found.setdefault((group, plural), {})[name] = None
            _dry_run(cluster, manifest)
    return tuple(Kind(group, plural, tuple(these)) for (group, plural), these in found.items())


def prepare(
    cluster: Cluster,
    inputs: Inputs,
    shape: PodShape,
    kinds: Sequence[Kind],
    seeds: Sequence[Sequence[Mapping[str, str]]],
    say: Callable[[str], None],
) -> Launch:
    """Return what will be created; asks the API server whether it knows Indexed Jobs, and creates nothing."""
    pages = page_manifests(inputs, seeds)
    access = access_manifests(inputs, kinds, [names(page)[2] for page in pages])
    indexed = job_manifest(inputs, shape)
    kept = _dry_run(cluster, indexed)
    if kept is None or kept["spec"].get("completionMode") == "Indexed":
        jobs = [indexed]
    else:
        say(
            f"the API server ({cluster.version}) drops completionMode: it does not know Indexed Jobs, "
            "so each shard gets a Job of its own"
        )
        jobs = shard_jobs(inputs, shape)
    return Launch(root_manifest(inputs), (*access, *pages), tuple(jobs))


def create(cluster: Cluster, launch: Launch, root: Manifest) -> None:
    """Create what the root owns, the Jobs last; `root` is as the API server keeps it."""
    for manifest in (*launch.others, *launch.jobs):
        cluster.create(owned(manifest, root))


def _dry_run(cluster: Cluster, manifest: Manifest) -> Manifest | None:
    """Return the object as the API server would keep it, `None` where one is there already."""
    _, kind, name, namespace = names(manifest)
    try:
        return cluster.create(manifest, dry_run=True)
    except ClusterError as error:
        if error.status == CONFLICT:
            return None
        if error.status == FORBIDDEN:
            raise ConfigError(f"you may not create {kind} {name} in namespace {namespace}: {error}") from None
        raise ConfigError(f"the API server would refuse {kind} {name}: {error}") from None
