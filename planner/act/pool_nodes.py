"""Keep the nodes of an agent pool ahead of need, for all deployments that run on it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.errors import ClusterError
from models.nodes import NodeOrder, NodesAhead, NodesPolicy, NodeState
from models.plan.nodes_ahead import node_count, nodes_of
from models.policy import PlanPolicy
from models.units import show_duration
from models.values import Role
from planner.act.agent_pool_state import AgentPool, Refusal, ResizablePool, refusal_of

# While a deployment has not been heard for so long, what it claimed stays and nothing is given up.
_UNHEARD_S = 600.0
# Within it an answer is as good as new: many deployments may ask at once.
_FRESH_S = 10.0
_LACKING = frozenset({NodeState.QUOTA, NodeState.CAPACITY})


@dataclass(frozen=True, slots=True)
class _Claim:
    """Say what one deployment needs and keeps, in nodes; `settled`: whether nodes may go by its data."""

    at_s: float
    need: int
    keep: int
    settled: bool


class PoolNodes:
    """Hold one agent pool at the nodes that its deployments claim together; safe from several threads.

    Where the pool's own autoscaler is off, nodes are added by the count and given up by name, so that only
    empty ones go. Where it is on, its lower bound is moved, and it does the rest.
    """

    def __init__(
        self,
        pool: ResizablePool,
        gpus_per_node: int,
        members: Sequence[str],
        empty: Callable[[], list[str]],
        nodes: NodesPolicy,
    ) -> None:
        """Keep a pool whose nodes have `gpus_per_node`; `empty` lists its nodes that nobody would miss.

        `members` are the deployments that claim nodes of it: none is given up before all were heard.
        """
        self._pool, self._gpus_per_node, self._nodes = pool, gpus_per_node, nodes
        self._members, self._empty = frozenset(members), empty
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()
        self._seen: tuple[float, AgentPool | Refusal] | None = None
        self._wait: tuple[float, Refusal] | None = None
        self._failure_noted = False
        self._short_since_s: float | None = None

    def keep(
        self,
        deployment: str,
        ahead: NodesAhead | None,
        now_s: float,
        acts: bool = True,
        roles: frozenset[Role] = frozenset(),
    ) -> NodeOrder:
        """Take a deployment's claim and bring the pool to what all claim; a refusal is said, never raised.

        One that does not act is told what would be done, and claims no more than what it runs. `roles` are
        those of its roles that run on the pool (none: all).
        """
        with self._lock:
            claims = self._claims
            if ahead is not None:
                full = self._claim(ahead, ahead.need, roles, now_s)
                self._claims[deployment] = full if acts else self._claim(ahead, ahead.current, roles, now_s)
                claims = {**self._claims, deployment: full}
            found = self._look(now_s)
            if isinstance(found, Refusal):
                return self._order(None, None, found.state, found.sentence)
            if not claims:
                sentence = f"{_asked(found)}; no demand is known"
                return self._order(found.asked, found.asked, NodeState.SETTLED, sentence)
            return self._bring(found, claims, now_s, acts)

    def _claim(
        self, ahead: NodesAhead, need: Mapping[Role, int], roles: frozenset[Role], now_s: float
    ) -> _Claim:
        size = self._gpus_per_node
        needed = nodes_of(need, ahead.gpus, roles, size)
        return _Claim(
            now_s, needed, max(nodes_of(ahead.keep, ahead.gpus, roles, size), needed), ahead.settled
        )

    def _look(self, now_s: float) -> AgentPool | Refusal:
        if self._seen is not None and 0 <= now_s - self._seen[0] < _FRESH_S:
            return self._seen[1]
        held = self._waiting(now_s)
        if held is not None and held.state is NodeState.THROTTLED:
            return held
        found = self._pool.look()
        if isinstance(found, Refusal) and found.state is NodeState.THROTTLED:
            self._put_off(found, now_s)
        self._seen = (now_s, found)
        return found

    def _bring(self, pool: AgentPool, claims: Mapping[str, _Claim], now_s: float, acts: bool) -> NodeOrder:
        before = pool.asked
        wanted, bound = self._wanted(pool, claims, now_s)
        if not pool.settled:
            sentence = f"{pool.state}, {_asked(pool)}"
            return self._order(before, wanted, NodeState.UNDER_WAY, sentence)
        lacking = self._note_failure(pool, now_s)
        held = self._waiting(now_s)
        if held is not None and (wanted != before or lacking):
            return self._order(before, wanted, held.state, self._again(held, before, wanted, now_s))
        # The count of a pool whose machines were refused stands as asked: it is asked for once more.
        if wanted == before and not lacking:
            return self._standing(pool, bound, now_s)
        if wanted < before and not pool.autoscaled:
            return self._give_up(before, wanted, now_s, acts)
        return self._resize(pool, wanted, bound, now_s, acts)

    def _wanted(self, pool: AgentPool, claims: Mapping[str, _Claim], now_s: float) -> tuple[int, str]:
        """Return how many nodes the pool is to be asked for, and what bounds them."""
        policy = self._pool.policy
        need = max(sum(each.need for each in claims.values()) + policy.spare_nodes, policy.min_nodes)
        keep = max(sum(each.keep for each in claims.values()) + policy.spare_nodes, need)
        known = self._members <= claims.keys() and all(
            now_s - each.at_s <= _UNHEARD_S and each.settled for each in claims.values()
        )
        wanted = node_count(pool.asked, need, keep, self._nodes.max_step_down, known)
        bounds = [
            (policy.max_nodes, "its `max`"),
            (pool.max_count if pool.autoscaled else None, "its maxCount"),
        ]
        most, name = min(((n, name) for n, name in bounds if n is not None), default=(None, ""))
        # What is there already is no bound's business: only more is refused.
        if most is None or wanted <= max(most, pool.asked):
            return wanted, ""
        return max(most, pool.asked), f"; {name} of {most} caps the {wanted} that are needed"

    def _note_failure(self, pool: AgentPool, now_s: float) -> bool:
        """Return whether the last change failed for want of machines, and wait before asking again."""
        if not pool.broken:
            self._failure_noted = False
            return False
        failed = refusal_of(0, pool.code, pool.message or f"Azure does not say why it is {pool.state}")
        if not self._failure_noted:
            self._failure_noted = True
            self._put_off(failed, now_s)
        return failed.state in _LACKING

    def _standing(self, pool: AgentPool, bound: str, now_s: float) -> NodeOrder:
        """Say how a pool stands of which nothing more is asked."""
        n = pool.asked
        if pool.broken:
            sentence = (
                f"{_asked(pool)}; its last change {pool.state.lower()}: {pool.message or 'no reason given'}"
            )
            return self._order(n, n, NodeState.REFUSED, sentence)
        if not pool.autoscaled or pool.count >= n:
            self._short_since_s = None
            return self._order(n, n, NodeState.SETTLED, f"{_asked(pool)}{bound}")
        since_s = self._short_since_s = now_s if self._short_since_s is None else self._short_since_s
        waited_s = now_s - since_s
        if waited_s <= self._nodes.lead_s:
            return self._order(n, n, NodeState.UNDER_WAY, f"{_asked(pool)}{bound}")
        sentence = f"{_asked(pool)} for {show_duration(waited_s)}; see the autoscaler's events for why"
        return self._order(n, n, NodeState.CAPACITY, sentence)

    def _resize(self, pool: AgentPool, wanted: int, bound: str, now_s: float, acts: bool) -> NodeOrder:
        before = pool.asked
        change = f"{'minCount' if pool.autoscaled else 'count'} {before} -> {wanted}{bound}"
        if not acts:
            return self._order(before, wanted, NodeState.ORDERED, f"dry run: {change}")
        refusal = self._pool.resize(pool, wanted)
        return self._answered(refusal, before, wanted, change, now_s)

    def _give_up(self, before: int, wanted: int, now_s: float, acts: bool) -> NodeOrder:
        """Delete empty machines by name: by the count alone Azure would choose, and take pods with them."""
        try:
            empty = self._empty()
        except ClusterError as error:
            sentence = f"{before - wanted} could go; which nodes are empty cannot be seen: {error}"
            return self._order(before, before, NodeState.REFUSED, sentence)
        going = empty[: before - wanted]
        if not going:
            sentence = f"{before} nodes stay: {wanted} would do, and none is empty"
            return self._order(before, before, NodeState.SETTLED, sentence)
        after = before - len(going)
        change = f"{before} -> {after}, empty {', '.join(going)} deleted"
        if not acts:
            return self._order(before, after, NodeState.ORDERED, f"dry run: {change}")
        return self._answered(self._pool.delete(going), before, after, change, now_s)

    def _answered(
        self, refusal: Refusal | None, before: int, wanted: int, change: str, now_s: float
    ) -> NodeOrder:
        """Take note of what came of asking; the next look is a fresh one."""
        self._seen = None
        if refusal is None:
            self._wait, self._failure_noted = None, False
            return self._order(before, wanted, NodeState.ORDERED, change)
        self._put_off(refusal, now_s)
        return self._order(before, wanted, refusal.state, f"{change}: {refusal.sentence}")

    def _put_off(self, refusal: Refusal, now_s: float) -> None:
        """Ask again when Azure says, or after `retry_s` where it has no machines or does not want to."""
        patient = refusal.state in _LACKING or refusal.state is NodeState.REFUSED
        usual_s = self._nodes.retry_s if patient else 0.0
        self._wait = (now_s + (usual_s if refusal.wait_s is None else refusal.wait_s), refusal)

    def _waiting(self, now_s: float) -> Refusal | None:
        return None if self._wait is None or now_s >= self._wait[0] else self._wait[1]

    def _again(self, held: Refusal, before: int, wanted: int, now_s: float) -> str:
        left_s = 0.0 if self._wait is None else self._wait[0] - now_s
        return f"{before} -> {wanted} is asked for again in {show_duration(left_s)}: {held.sentence}"

    def _order(self, before: int | None, wanted: int | None, state: NodeState, sentence: str) -> NodeOrder:
        place = str(self._pool.policy)
        return NodeOrder(place, "nodes", before, wanted, state, f"{place}: {sentence}")


class AgentPoolNodes:
    """Implement the NodeKeeper port for one deployment with the agent pools that its roles run on."""

    def __init__(
        self, deployment: str, pools: Sequence[tuple[PoolNodes, frozenset[Role]]], acts: bool = True
    ) -> None:
        """Claim nodes of `pools` in the deployment's name, of each for the roles beside it (none: all)."""
        self._deployment, self._pools, self._acts = deployment, pools, acts

    def keep(self, ahead: NodesAhead | None, plan: PlanPolicy, now_s: float) -> tuple[NodeOrder, ...]:
        """Bring every pool to what its deployments claim."""
        return tuple(
            pool.keep(self._deployment, ahead, now_s, self._acts, roles) for pool, roles in self._pools
        )


def _asked(pool: AgentPool) -> str:
    if not pool.autoscaled:
        return f"{pool.count} nodes asked for"
    return f"{pool.count} nodes are there, at least {pool.asked} asked for"
