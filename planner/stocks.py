"""Match what a configuration states per hardware with the machines of a profile: layouts, budgets, prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.artifact import LayoutProfile, Machine, ProfileArtifact
from models.errors import ArtifactError, ConfigError
from models.stock import Stock
from models.topology import Topology
from models.values import Role


@dataclass(frozen=True, slots=True)
class Terms:
    """Hold what is stated per kind of hardware, by its name in any case; `source` names the file.

    `budget_gpus` and `price_per_gpu_h` are one value for any hardware, or one per kind; `by_node` says
    whether nodes are paid whole.
    """

    source: str
    budget_gpus: int | Mapping[str, int] | None = None
    price_per_gpu_h: float | Mapping[str, float] | None = None
    by_node: bool = True


def choose_layouts(
    artifact: ProfileArtifact,
    stated: Mapping[Role, str],
    roles: tuple[Role, ...],
    hardware: Mapping[Role, str] | None = None,
) -> dict[Role, LayoutProfile]:
    """Return each role's layout: the stated one, or the one that the profile selected, on stated hardware.

    Raises ArtifactError when the profile holds neither, or holds it on several machines and none is stated.
    """
    chosen = {}
    for role in roles:
        name = stated.get(role) or (artifact.selection.layout(role) if artifact.selection else None)
        if name is None:
            raise ArtifactError(
                f"the profile of {artifact.model} selects no {role} layout; state pools.{role}.layout "
                f"(or --layout {role}=NAME), or profile again with a rate, lengths and a promise, so that it "
                "selects"
            )
        try:
            first = artifact.layout(role, name)
        except KeyError as error:
            raise ArtifactError(str(error.args[0])) from None
        chosen[role] = _on(artifact, first, (hardware or {}).get(role))
    return chosen


def alternatives(
    artifact: ProfileArtifact,
    layouts: Mapping[Role, LayoutProfile],
    named: Mapping[Role, tuple[str, ...]] | None = None,
) -> dict[Role, tuple[LayoutProfile, ...]]:
    """Return, per role, the layouts that could run in place of the chosen one, on the same machine.

    `named` narrows a role's down to those names. Raises ArtifactError for a name that the profile lacks.
    """
    found: dict[Role, tuple[LayoutProfile, ...]] = {}
    for role, chosen in layouts.items():
        others = tuple(
            each
            for each in artifact.layouts
            if each.role is role
            and artifact.machine(each) == artifact.machine(chosen)
            and each.parallelism.name != chosen.parallelism.name
        )
        wanted = (named or {}).get(role)
        if wanted is not None:
            known = {each.parallelism.name for each in others} | {chosen.parallelism.name}
            lacking = next((name for name in wanted if name not in known), None)
            if lacking is not None:
                raise ArtifactError(
                    f"pools.{role}.alternatives names {lacking}, which the profile of {artifact.model} does "
                    f"not hold for {artifact.machine(chosen).name}; it holds {', '.join(sorted(known))}"
                )
            others = tuple(each for each in others if each.parallelism.name in wanted)
        found[role] = others
    return found


def stocks(
    artifact: ProfileArtifact, layouts: Mapping[Role, LayoutProfile], terms: Terms
) -> tuple[Stock, ...]:
    """Return the GPUs at hand per machine in use; empty where neither prices nor budgets tell them apart.

    Raises ConfigError for hardware that the profile lacks, for a GPU without a price beside others with one,
    and for a budget below what a single replica takes.
    """
    _check_names(artifact, terms)
    apart = isinstance(terms.budget_gpus, Mapping)
    if terms.price_per_gpu_h is None and not apart:
        return ()
    found = []
    for machine in dict.fromkeys(artifact.machine(layout) for layout in layouts.values()):
        roles = tuple(role for role, layout in layouts.items() if artifact.machine(layout) == machine)
        gpus = _stated(terms.budget_gpus, machine) if apart else None
        for role in roles:
            if gpus is not None and layouts[role].gpus > gpus:
                raise ConfigError(
                    f"{terms.source}: budget.gpus.{machine.name} is {gpus}, and one {role} replica takes "
                    f"{layouts[role].gpus}; raise it, or state a narrower layout"
                )
        price = _stated(terms.price_per_gpu_h, machine)
        if price is None and terms.price_per_gpu_h is not None:
            raise ConfigError(
                f"{terms.source}: price.gpu_h has none for {machine.name}, which {roles[0]} runs on; add it"
            )
        nodes = None if gpus is None else Topology.lay_out(machine.gpus_per_node, machine.scaleup_gpus, gpus)
        billed = machine.gpus_per_node if terms.by_node else 1
        found.append(Stock(machine.name, roles, gpus, nodes, price, billed))
    return tuple(found)


def _on(artifact: ProfileArtifact, first: LayoutProfile, hardware: str | None) -> LayoutProfile:
    """Return the profile of a layout on the machine of that name, or on the only one that has it."""
    role, name = first.role, first.parallelism.name
    held = {
        artifact.machine(each).name: each
        for each in artifact.layouts
        if each.role is role and each.parallelism.name == name
    }
    if hardware is None:
        if len(held) > 1:
            raise ArtifactError(
                f"the profile of {artifact.model} holds {role}={name} for {' and '.join(held)}; "
                f"state pools.{role}.hardware"
            )
        return first
    found = next((each for key, each in held.items() if key.casefold() == hardware.casefold()), None)
    if found is None:
        raise ArtifactError(
            f"the profile of {artifact.model} holds {role}={name} for {' and '.join(held)}, not for the "
            f"{hardware} that pools.{role}.hardware states"
        )
    return found


def _stated(value: Any, machine: Machine) -> Any:
    if not isinstance(value, Mapping):
        return value
    return next((v for name, v in value.items() if name.casefold() == machine.name.casefold()), None)


def _check_names(artifact: ProfileArtifact, terms: Terms) -> None:
    known = [machine.name for machine in artifact.machines]
    stated = (("budget.gpus", terms.budget_gpus), ("price.gpu_h", terms.price_per_gpu_h))
    for key, value in stated:
        for name in value if isinstance(value, Mapping) else ():
            if name.casefold() not in (each.casefold() for each in known):
                raise ConfigError(
                    f"{terms.source}: {key} names {name}, and the profile of {artifact.model} is of "
                    f"{' and '.join(known)}"
                )
