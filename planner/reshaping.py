"""Wire changes of layout to the cluster, and have a deployment follow the layouts that really run there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from models.policy import Mode
from models.values import Role
from planner import wiring
from planner.act.reshape import ClusterReshaper
from planner.cluster.deployed import deployed_layouts

if TYPE_CHECKING:
    from models.observation import Gap
    from planner.leader.guard import Leading
    from planner.ports import Reshaper
    from planner.wiring import Connected, Deployment

_LOG = logging.getLogger(__name__)

# Templates change with a rollout, if ever: how often they are looked at while nothing is known to change.
LOOK_S = 60.0


def reshaper(
    chosen: Deployment, connected: Connected, leading: Leading, dry_run: bool = False
) -> Reshaper | None:
    """Return what puts a proposed layout into effect; None where that is not allowed.

    In a dry run, and for a deployment whose mode is not act, the server checks the patch and keeps none of
    it. `connected` is the cluster that is written to.
    """
    if not chosen.policy.plan.reshape.allowed or chosen.settings.mode is Mode.OBSERVE:
        return None
    targets = connected.targets(chosen)
    if not targets:
        return None
    nodes = {
        role: chosen.profile.artifact.machine(layout).gpus_per_node
        for role, layout in chosen.served.layouts.items()
    }
    acts = chosen.settings.mode is Mode.ACT and not dry_run
    return ClusterReshaper(connected.cluster, targets, wiring.arguments(chosen), nodes, acts, leading)


class Following:
    """Keep a deployment at the layouts that its owners' templates run, whoever wrote them.

    They are read from the cluster and from nothing else: a restart, or a successor, finds what the last
    change of layout left, and a person's own change counts as well.
    """

    def __init__(self, connected: Connected) -> None:
        """Read templates through a cluster's reader, watches where there are."""
        self._connected = connected
        self._looked: tuple[int, float] | None = None
        self._told: tuple[Gap, ...] = ()

    def __call__(self, chosen: Deployment, now_s: float, due: bool = False) -> Deployment | None:
        """Return the deployment with the layouts that run, None where it has those already.

        Looks once a minute, at once for a deployment that it has not seen, and where something is `due`.
        Raises ConfigError for layouts that the configuration's budget does not hold.
        """
        targets = self._connected.targets(chosen)
        fresh = (
            self._looked is not None and self._looked[0] == id(chosen) and now_s - self._looked[1] < LOOK_S
        )
        if not targets or (fresh and not due):
            return None
        self._looked = (id(chosen), now_s)
        known = {
            role: (layout, *chosen.served.alternatives.get(role, ()))
            for role, layout in chosen.served.layouts.items()
        }
        names, gaps = deployed_layouts(self._connected.reader, targets, known, wiring.arguments(chosen))
        self._tell(chosen, gaps)
        changed = {
            role: name for role, name in names.items() if name != chosen.served.layouts[role].parallelism.name
        }
        if not changed:
            return None
        _LOG.info("layouts that run: %s", said(changed), extra={"fields": {"deployment": chosen.name}})
        running = {r: layout.parallelism.name for r, layout in chosen.served.layouts.items()} | changed
        made = wiring.deployment(chosen.loaded, chosen.name, layouts=running)
        self._looked = (id(made), now_s)
        return made

    def _tell(self, chosen: Deployment, gaps: tuple[Gap, ...]) -> None:
        """Log what cannot be told, once."""
        for gap in gaps if gaps != self._told else ():
            fields = {"deployment": chosen.name, "what": gap.what}
            _LOG.warning("%s: %s", gap.what, gap.reason, extra={"fields": fields})
        self._told = gaps


def said(layouts: Mapping[Role, str]) -> str:
    """Write layouts such as `prefill=TP1, decode=TEP4`."""
    return ", ".join(f"{role}={name}" for role, name in layouts.items())


Follow = Callable[["Deployment", float, bool], "Deployment | None"]
