"""Apply decisions to a real cluster: re-validated, locked, and several roles as one transaction."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.artifact import LayoutProfile
from models.decision import Decision, Outcome, Status
from models.errors import ClusterError
from models.observation import Observation
from models.stock import GpuLimit
from models.target import PoolTarget
from models.values import Role
from planner.act.intent import INTENT, Intent, Step, announce, withdraw
from planner.act.patience import PatientCluster
from planner.act.prepare import Prepared, grouped, prepare, wanted_of
from planner.act.recovery import Recovered, recover
from planner.act.results import CONFLICT, Result, explained, joined
from planner.act.scaling import at_version, send
from planner.cluster.api import Cluster, Manifest
from planner.cluster.needs import intent_owner
from planner.cluster.owners import read_owner
from planner.cluster.scalable import Scalable
from planner.ports import Clock

# A tick's share of the cluster: less than the shortest usual interval, and than `intent.WORKING_S`.
PATIENCE_S = 10.0


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ActPolicy:
    """Say what one deployment's actuator works with.

    `holder` names this process among those that may act on the same targets. `limits` bound the GPUs that
    roles take together. `shared` says that others take GPUs from the same pool: an up then never begins
    before the down that it was decided with.
    """

    targets: Mapping[Role, PoolTarget]
    layouts: Mapping[Role, LayoutProfile]
    holder: str
    limits: Sequence[GpuLimit] = ()
    shared: bool = False
    patience_s: float = PATIENCE_S

    @property
    def gpus(self) -> dict[Role, int]:
        """GPUs per replica, as the profile's layouts say."""
        return {role: self.layouts[role].gpus for role in self.targets}


@dataclass(slots=True)
class ClusterActuator:
    """Implement the Actuator port with a Kubernetes API server.

    `leading` is asked before each patch, and nothing is sent when it says no.
    """

    cluster: Cluster
    policy: ActPolicy
    clock: Clock
    leading: Callable[[], bool] = _always
    sleep: Callable[[float], None] = time.sleep
    _told: list[str] = field(default_factory=list)

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Apply the changes of a decision, after what an earlier process left half done."""
        cluster = PatientCluster(self.cluster, self.clock, self.sleep, self.policy.patience_s)
        self._told = []
        try:
            if not decision.changes:
                return self._rest(cluster, decision)
            return self._apply(cluster, decision, observation)
        except ClusterError as error:
            return Outcome(Status.FAILED, "; ".join([*self._told, explained(error)]))

    def _rest(self, cluster: Cluster, decision: Decision) -> Outcome:
        """Change nothing, unless somebody left something half done."""
        status = Status.HELD if decision.held else Status.UNCHANGED
        if len(self.policy.targets) < 2:
            return Outcome(status)
        owner = read_owner(cluster, intent_owner(self.policy.targets))
        if owner is None or INTENT not in (owner["metadata"].get("annotations") or {}):
            return Outcome(status)
        recovered = self._recover(cluster, prepare(cluster, self.policy.targets, {}))
        if recovered is None:
            return Outcome(
                status, f"a change of two roles was begun on {_named(owner)}; neither can be read now"
            )
        return Outcome(status if recovered.free else recovered.status, self._said())

    def _apply(self, cluster: Cluster, decision: Decision, observation: Observation) -> Outcome:
        wanted = wanted_of(decision, observation, self.policy.layouts)
        prepared = prepare(cluster, self.policy.targets, wanted)
        recovered = self._recover(cluster, prepared)
        if recovered is not None:
            if not recovered.free:
                return Outcome(recovered.status, self._said())
            # The owner has another version since.
            prepared = prepare(cluster, self.policy.targets, wanted)
        roles = self._allowed(prepared)
        results: dict[Role, Result] = dict(prepared.objections)
        results |= {role: self._waiting(prepared, role) for role in prepared.roles if role not in roles}
        if not roles:
            return joined(results, self._told)
        if len(grouped(prepared, roles)) < 2:
            # One patch is applied whole or not at all: there is nothing to announce.
            return joined(results | self._send_all(cluster, prepared, roles), self._told)
        announced = self._announce(cluster, prepared, roles, decision, observation)
        if isinstance(announced, Result):
            return joined(results | dict.fromkeys(roles, announced), self._told)
        prepared, text = announced
        sent = self._send_all(cluster, prepared, roles)
        if all(result.known for result in sent.values()):
            self._withdraw(cluster, prepared, text)
        return joined(results | sent, self._told)

    def _allowed(self, prepared: Prepared) -> list[Role]:
        """Return the roles to patch: an up waits where it needs what a refused down would have given."""
        refused = [
            role
            for role, result in prepared.objections.items()
            if not _is_up(prepared, role) and result.status is not Status.UNCHANGED
        ]
        if not refused or not self._moves(prepared):
            return prepared.roles
        return [role for role in prepared.roles if not _is_up(prepared, role)]

    def _moves(self, prepared: Prepared) -> bool:
        """Say whether the ups need GPUs of the downs: without them the budget would be exceeded."""
        counts = {role: each.before for role, each in prepared.wanted.items()}
        counts |= {role: pool.desired for role, pool in prepared.found.items()}
        if self.policy.shared or set(self.policy.targets) - set(counts):
            return True  # what others hold, or a role that cannot be read, is not known
        counts |= {role: each.after for role, each in prepared.wanted.items() if _is_up(prepared, role)}
        return any(limit.left(counts, self.policy.gpus) < 0 for limit in self.policy.limits)

    def _waiting(self, prepared: Prepared, role: Role) -> Result:
        downs = " and ".join(each for each in prepared.wanted if not _is_up(prepared, each))
        return Result(Status.HELD, f"{role} waits for the GPUs of {downs}")

    def _announce(
        self,
        cluster: Cluster,
        prepared: Prepared,
        roles: list[Role],
        decision: Decision,
        observation: Observation,
    ) -> tuple[Prepared, str] | Result:
        """Write the intent; return the pools at their versions after it, or why nothing can begin."""
        owner = intent_owner(self.policy.targets)
        for attempt in (1, 2):
            first = next((p for p in prepared.found.values() if _same(p, owner)), None)
            if first is None:
                return Result(
                    Status.FAILED, f"{owner} cannot be read, and the change of two roles is kept there"
                )
            intent = Intent(
                f"{observation.at_s:.3f}",
                self.clock.now_s(),
                self.policy.holder,
                {role: _step(prepared, role) for role in roles},
            )
            if not self.leading():
                return Result(Status.HELD, "another process leads by now: nothing was sent")
            try:
                answer = announce(cluster, first, intent)
            except ClusterError as error:
                if error.status != CONFLICT or attempt == 2:
                    status = Status.SUPERSEDED if error.status == CONFLICT else Status.FAILED
                    return Result(status, f"nothing was changed: {explained(error)}")
                again = prepare(cluster, self.policy.targets, prepared.wanted)
                if self._intent_of(again) is not None or set(roles) - set(again.roles):
                    return Result(Status.SUPERSEDED, f"nothing was changed: {_why(again, roles)}")
                prepared = again
                continue
            version = str(answer["metadata"]["resourceVersion"])
            found = {r: at_version(pool, first.owner, version) for r, pool in prepared.found.items()}
            return replace(prepared, found=found), intent.dump()
        raise AssertionError("the second attempt returns")

    def _send_all(self, cluster: Cluster, prepared: Prepared, roles: list[Role]) -> dict[Role, Result]:
        """Send one patch for each object, downs before ups; an up waits for a down that it needs."""
        results: dict[Role, Result] = {}
        found = dict(prepared.found)
        for group in grouped(prepared, roles):
            pools = [found[pool.role] for pool in group]
            failed = [
                r for r in results if not _is_up(prepared, r) and results[r].status is not Status.APPLIED
            ]
            if failed and self._moves(prepared) and all(_is_up(prepared, pool.role) for pool in pools):
                results |= {pool.role: self._waiting(prepared, pool.role) for pool in pools}
                continue
            sent = send(cluster, pools, prepared.wanted, self.leading)
            results |= {pool.role: sent.result for pool in pools}
            if sent.version:
                found = {r: at_version(each, pools[0].scaled, sent.version) for r, each in found.items()}
        return results

    def _withdraw(self, cluster: Cluster, prepared: Prepared, text: str) -> None:
        """Remove the intent; where that fails, or another leads by now, who finds it goes on from there."""
        if not self.leading():
            return
        owner = next(p.owner for p in prepared.found.values() if _same(p, intent_owner(self.policy.targets)))
        try:
            withdraw(cluster, owner, text)
        except ClusterError as error:
            self._told.append(f"the intent is still on {owner} and is removed later: {explained(error)}")

    def _recover(self, cluster: Cluster, prepared: Prepared) -> Recovered | None:
        """Settle an intent that was found; `None` where there is none."""
        found = self._intent_of(prepared)
        if found is None:
            return None
        text, pool = found
        recovered = recover(
            cluster, text, pool.owner, prepared.found, self.policy, self.clock.now_s(), self.leading
        )
        self._told.append(recovered.sentence)
        return recovered

    def _intent_of(self, prepared: Prepared) -> tuple[str, Scalable] | None:
        if len(self.policy.targets) < 2:
            return None
        owner = intent_owner(self.policy.targets)
        first = next((pool for pool in prepared.found.values() if _same(pool, owner)), None)
        text = None if first is None else first.annotations.get(INTENT)
        return None if first is None or text is None else (text, first)

    def _said(self) -> str:
        return "; ".join(self._told)


def _named(owner: Manifest) -> str:
    return f"{owner['kind']} {owner['metadata']['name']}"


def _same(pool: Scalable, owner: object) -> bool:
    return pool.target.owner == owner


def _is_up(prepared: Prepared, role: Role) -> bool:
    return prepared.wanted[role].after > prepared.wanted[role].before


def _step(prepared: Prepared, role: Role) -> Step:
    return Step(prepared.found[role].uid, prepared.wanted[role].before, prepared.wanted[role].after)


def _why(prepared: Prepared, roles: list[Role]) -> str:
    said = [prepared.objections[role].sentence for role in roles if role in prepared.objections]
    return "; ".join(said) or "another process began a change"
