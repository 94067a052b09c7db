"""A tick hands on a layout that may be put into effect, and what is foreseen to who makes nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.decision import Decision, Outcome, Record, Status
from models.nodes import NodeOrder, NodesAhead, NodesPolicy, NodeState
from models.observation import Observation
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, ReshapePolicy, TickPolicy
from models.prediction import Forecast
from models.reshaping import ReshapeReport, ReshapeState, Switch
from models.values import Role, Signal
from planner.ports import Ports
from planner.tick import Served, tick
from tests import builders
from tests.builders import AT_S, PAGES, PAGES_MIX

PREFILL, DECODE = Role.PREFILL, Role.DECODE
RATE = 100.0


@dataclass
class World:
    """Be every port: fixed demand, a settled fleet, and what is asked of it kept."""

    counts: Mapping[Role, int]
    demand_at_s: float = AT_S
    switches: list[Switch | None] = field(default_factory=list)
    foreseen: list[NodesAhead | None] = field(default_factory=list)

    def observe(self, now_s: float) -> Observation:
        return builders.observation({"pages": RATE}, self.counts, demand_at_s=self.demand_at_s)

    def absorb(self, observation: Observation) -> None:
        """Remember nothing."""

    def forecast(self, now_s: float) -> Forecast:
        told = builders.forecast({"pages": RATE})
        tokens = {Signal.ARRIVALS: 1.0, Signal.PREFILL_TOKENS: PAGES_MIX.mean_prefill_tokens}
        ratios = (0.5, 0.8, 1.0, 1.3, 1.6)
        signals = {
            signal: replace(
                each, past_day=tuple(RATE * tokens.get(signal, PAGES_MIX.mean_osl_tokens) * r for r in ratios)
            )
            for signal, each in told.signals["pages"].items()
        }
        return replace(told, signals={"pages": signals})

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        return Outcome(Status.UNCHANGED)

    def record(self, record: Record) -> None:
        """Keep nothing."""

    def step(self, switch: Switch | None, now_s: float) -> ReshapeReport | None:
        self.switches.append(switch)
        return None if switch is None else ReshapeReport(switch.role, ReshapeState.STARTED, str(switch))

    def keep(self, ahead: NodesAhead | None, plan: PlanPolicy, now_s: float) -> tuple[NodeOrder, ...]:
        self.foreseen.append(ahead)
        return (NodeOrder("pool", "nodes", 1, 1, NodeState.SETTLED, "as it is"),)


def ticked(world: World, allowed: bool = True) -> Record:
    plan = replace(builders.plan_policy((PAGES,)), reshape=ReshapePolicy(allowed=allowed))
    policy = TickPolicy("shop", ForecastPolicy(), plan, DecidePolicy(), nodes=NodesPolicy())
    better = builders.prefill_layout(110_000.0 * 2.6, 2)
    served = Served(builders.layouts(), "sha256:0", "0", {PREFILL: (better,), DECODE: ()})
    ports = Ports(world, world, world, world, nodes=world, reshaper=world)
    return tick(AT_S, ports, policy, served)


def settled() -> World:
    """Run what is decided at this demand, so that no count changes."""
    first = ticked(World({PREFILL: 1, DECODE: 1}))
    return World(dict(first.decision.final))


def test_a_proposed_layout_is_handed_on_where_it_is_allowed() -> None:
    world = settled()
    record = ticked(world)

    assert record.sizing is not None
    assert record.sizing.reshape is not None, "the wider layout does 1.3 times as much a GPU"
    (wanted,) = world.switches
    assert wanted is not None
    assert (wanted.role, wanted.to.name, wanted.current) == (PREFILL, "TP2", record.decision.final[PREFILL])
    assert record.reshaping == ReshapeReport(PREFILL, ReshapeState.STARTED, "prefill TP1 -> TP2")


def test_one_that_is_not_allowed_is_only_proposed() -> None:
    world = settled()
    record = ticked(world, allowed=False)

    assert record.sizing is not None
    assert record.sizing.reshape is not None
    assert world.switches == [None], "what is under way is followed all the same"


def test_none_begins_at_a_tick_that_changes_a_count_or_is_blind() -> None:
    changing = World({PREFILL: 1, DECODE: 1})
    assert ticked(changing).decision.changes
    assert changing.switches == [None]

    blind = replace(settled(), demand_at_s=AT_S - 3600, switches=[], foreseen=[])
    assert ticked(blind).decision.held
    assert blind.switches == [None]


def test_what_is_foreseen_goes_to_who_makes_nodes_and_into_the_record() -> None:
    world = settled()
    record = ticked(world)

    (ahead,) = world.foreseen
    assert ahead is not None
    assert ahead.running == record.decision.final
    assert record.nodes is not None
    assert record.nodes.ahead == ahead
    assert record.nodes.orders[0].sentence == "as it is"
    blind = replace(settled(), demand_at_s=AT_S - 3600, switches=[], foreseen=[])
    ticked(blind)
    assert blind.foreseen[0] is not None
    assert not blind.foreseen[0].settled, "stale data gives no node back"
