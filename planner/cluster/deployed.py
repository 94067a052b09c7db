"""Read which layouts really run, from the owners' templates: a restart knows no other source."""

from collections.abc import Mapping, Sequence

from models.artifact import LayoutProfile
from models.engine_arguments import EngineArguments
from models.errors import ClusterError
from models.observation import Gap
from models.target import PoolTarget
from models.values import Role
from planner.cluster.api import Reader
from planner.cluster.owners import resolve
from planner.cluster.podforms import pod_forms
from planner.cluster.reshape_note import ReshapeNote, note_of
from planner.cluster.scalable import Scalable, Unresolved
from planner.cluster.widths import deployed


def deployed_layouts(
    cluster: Reader,
    targets: Mapping[Role, PoolTarget],
    known: Mapping[Role, Sequence[LayoutProfile]],
    engine: EngineArguments | None,
) -> tuple[dict[Role, str], tuple[Gap, ...]]:
    """Return the name of the layout that each role's template runs, of those that are `known` per role.

    While a role changes, the wider of both layouts counts, so that no GPU is given out twice. A role whose
    layout cannot be told is left out, with the reason as a Gap. Never raises what the server refuses.
    """
    names: dict[Role, str] = {}
    gaps: list[Gap] = []
    for role, target in targets.items():
        try:
            found = _layout(cluster, role, target, known[role], engine)
        except ClusterError as error:
            found = Gap(f"layout of {role}", str(error))
        if isinstance(found, Gap):
            gaps.append(found)
        else:
            names[role] = found
    return names, tuple(gaps)


def _layout(
    cluster: Reader,
    role: Role,
    target: PoolTarget,
    known: Sequence[LayoutProfile],
    engine: EngineArguments | None,
) -> str | Gap:
    scaled: Scalable | Unresolved = resolve(cluster, role, target)
    if isinstance(scaled, Unresolved):
        return Gap(f"layout of {role}", scaled.sentence)
    note = note_of(scaled.annotations)
    if isinstance(note, ReshapeNote) and note.role is role:
        both = [each for each in known if each.parallelism.name in (note.before, note.after)]
        if both:
            return max(both, key=lambda each: each.gpus).parallelism.name
    owner = cluster.get(*scaled.owner.identity)
    forms = "is gone" if owner is None else pod_forms(owner, scaled.component)
    if isinstance(forms, str):
        return Gap(f"layout of {role}", f"{scaled}: {forms}")
    layout = deployed(forms, [each.parallelism for each in known], engine)
    if isinstance(layout, str):
        return Gap(f"layout of {role}", f"{scaled}: {layout}; the configured layout is taken")
    return layout.name
