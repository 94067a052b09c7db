"""Choose the layouts that keep a promise at the least cost: fewest GPUs, or least money where priced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.artifact import LayoutProfile, Machine, Question, Selection
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, describe
from models.plan.search import FleetSearch
from models.stock import placeable_on
from models.topology import Topology
from models.values import RequestClass, Role, Router, Slo
from profiler import explaining

Pairing = Mapping[Role, LayoutProfile]
Progress = Callable[[int, int, str], None]

# The search looks 16 replicas beyond its start; so often it starts again from where it ended.
_WIDENINGS = 8
# How many of the best pairings the answer shows.
_SHOWN = 10
# Pairings looked at again when something is asked of the choice that is not the question itself.
_SHORTLIST = 16
# How often the shortlist is made anew while the highest rate is looked for, and where that search ends.
_LOOKS = 3
_MOST_RPS = 1e9


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hold the cheapest fleet of one pairing that keeps the promise, and what it is expected to deliver.

    `cost` is GPUs, or money per hour where every GPU of the question has a price.
    """

    pairing: Pairing
    replicas: Mapping[Role, int]
    prediction: Prediction
    cost: float

    @property
    def name(self) -> str:
        """The pairing's name, such as `prefill=TP1 decode=TEP4`."""
        return name_of(self.pairing)

    def rank(self) -> tuple[float, float, float, float, str]:
        """Order fleets: least cost, attainment to 0.1 %, finer steps, faster to 1 %, then the name."""
        steps = explaining.steps(self)
        kept = round(self.prediction.expected_attainment, 3)
        return self.cost, -kept, steps, explaining.end_to_end_s(self), self.name


@dataclass(frozen=True, slots=True)
class _Able:
    """Hold a pairing that keeps the promise for one request alone; no fleet of it costs less than `bound`."""

    bound: float
    search: FleetSearch

    @property
    def pairing(self) -> Pairing:
        return self.search.model.layouts


def select(
    layouts: Sequence[LayoutProfile],
    question: Question,
    machines: Sequence[Machine],
    progress: Progress | None = None,
) -> Selection:
    """Choose a layout per role for the question; an answer that fails says so in `feasible` and `why`."""
    options = pairings(layouts)
    if not options:
        return Selection({}, {}, 0, False, "no layout of the model fits this hardware in any role")
    able, short = _able(options, question)
    # Both ways to serve are searched to their best: the other one's stays in the answer.
    apart = [each for each in able if Role.AGGREGATED not in each.pairing]
    together = [each for each in able if Role.AGGREGATED in each.pairing]
    fleets = sorted(
        _fleets(apart, question, progress) + _fleets(together, question, progress), key=Fleet.rank
    )
    if not fleets:
        nearest = [each.search.model for each in able] or [search.model for search in short]
        return explaining.impossible(nearest, question)
    fitting = [fleet for fleet in fleets if why_unplaced(fleet, question, machines) is None]
    best = (fitting or fleets)[0]
    other = next((f for f in fitting or fleets if set(f.pairing) != set(best.pairing)), None)
    ranked = [best, *(fleet for fleet in fleets if fleet is not best)][:_SHOWN]
    lost = {f.name: why_unplaced(f, question, machines) or explaining.lost(f, best) for f in ranked[1:]}
    answer = explaining.answer(best, ranked, lost, question, why_unplaced(best, question, machines))
    alternatives = _names(other.pairing) if other else {}
    return replace(answer, alternatives=alternatives)


def would_change(
    layouts: Sequence[LayoutProfile], question: Question, selection: Selection, machines: Sequence[Machine]
) -> tuple[str, ...]:
    """Return in sentences what would make another pairing clearly cheaper than the selected one."""
    shortlist = _shortlist(layouts, question)
    chosen = next((x for x in shortlist if _names(x) == selection.layouts), None)
    if chosen is None or not selection.feasible:
        return ()

    def again(asked: Question, slower: Mapping[str, float]) -> tuple[Fleet | None, Fleet | None]:
        own = _again([chosen], asked, slower, machines)
        return _again(shortlist, asked, slower, machines), own

    return explaining.would_change(question, list(chosen.values()), again)


def most_within(
    layouts: Sequence[LayoutProfile],
    question: Question,
    machines: Sequence[Machine],
    progress: Progress | None = None,
) -> Question:
    """Return the question at the highest rate that a fleet within the budget carries under the promise.

    Its rate says where the search starts. Where not even a thousandth of that is carried, or the budget
    bounds nothing, the question is returned as it is.
    """
    if not question.budget_gpus:
        return question
    found = question
    # The pairings that come nearest differ with the rate: they are looked up again where a search ended.
    for _ in range(_LOOKS):
        shortlist = _shortlist(layouts, found)
        if progress:
            progress(0, 1, "highest rate")
        higher = _highest(shortlist, found, machines)
        if higher <= found.rate_rps * 1.01 and found is not question:
            break
        found = replace(question, rate_rps=higher)
    return found


def _highest(shortlist: Sequence[Pairing], question: Question, machines: Sequence[Machine]) -> float:
    """Return the highest rate, to 1 %, that a pairing of the shortlist carries within the budget."""

    def carried(rate_rps: float) -> bool:
        return _again(shortlist, replace(question, rate_rps=rate_rps), {}, machines) is not None

    high = low = question.rate_rps
    while high < _MOST_RPS and carried(high):
        low, high = high, high * 4.0
    while low == high and not carried(low):
        low, high = low / 4.0, low / 4.0
        if low < question.rate_rps / 1e3:
            return question.rate_rps
    high = max(high, low * 4.0)
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if carried(middle) else (low, middle)
    rounded = float(f"{low:.3g}")
    return rounded if carried(rounded) else low


def pairings(layouts: Sequence[LayoutProfile]) -> list[Pairing]:
    """Return every prefill layout with every decode layout, and every aggregated layout alone."""
    by_role = {role: [layout for layout in layouts if layout.role is role] for role in Role}
    apart: list[Pairing] = [
        {Role.PREFILL: prefill, Role.DECODE: decode}
        for prefill in by_role[Role.PREFILL]
        for decode in by_role[Role.DECODE]
    ]
    return [*apart, *({Role.AGGREGATED: layout} for layout in by_role[Role.AGGREGATED])]


def name_of(pairing: Pairing) -> str:
    """Name a pairing, such as `prefill=TP1 decode=TEP4`."""
    return " ".join(layout.key for layout in pairing.values())


def promise(question: Question) -> RequestClass:
    """Return the question's promise as a request class."""
    slo = Slo(question.ttft_s, question.itl_s, question.e2e_s, question.quantile)
    return RequestClass("requests", slo)


def price_of(layout: LayoutProfile, question: Question) -> float:
    """Return what one GPU of a layout costs: its price where the question has prices, else 1."""
    return question.price_per_gpu_h.get(layout.hardware, 1.0)


def why_unplaced(fleet: Fleet, question: Question, machines: Sequence[Machine]) -> str | None:
    """Return why a fleet does not fit the budget's GPUs, laid out as nodes and NVLink domains."""
    for machine in machines:
        budget = question.budget_gpus.get(machine.name)
        roles = [role for role, layout in fleet.pairing.items() if layout.hardware in (machine.name, "")]
        if budget is None or not roles:
            continue
        counts: dict[int, int] = {}
        for role in roles:
            gpus = fleet.pairing[role].gpus
            counts[gpus] = counts.get(gpus, 0) + fleet.replicas[role]
        needed = sum(gpus * n for gpus, n in counts.items())
        if needed > budget:
            if len(machines) > 1:
                return f"it takes {needed} GPUs of {machine.name}, whose budget is {budget}"
            return f"the budget is {budget}"
        topology = Topology.lay_out(machine.gpus_per_node, machine.scaleup_gpus, budget)
        why = topology.why_not(counts, one_clique=topology.single)
        if why is not None:
            return why
        if not placeable_on(
            topology, {r: fleet.replicas[r] for r in roles}, {r: fleet.pairing[r].gpus for r in roles}
        ):
            return "prefill and decode cannot be divided so that every NVLink domain in use holds both"
    return None


def _able(options: Sequence[Pairing], question: Question) -> tuple[list[_Able], list[FleetSearch]]:
    """Split pairings by whether one request alone keeps the promise; the able ones by their bound.

    The bound is what each role would take if it never idled.
    """
    able, short = [], []
    load = ClassLoad.steady(promise(question), question.rate_rps, question.mix)
    for pairing in options:
        model = FleetModel(pairing, [[load]], Router.LOAD)
        search = FleetSearch(model, np.ones(1), {load.request_class.name: question.quantile})
        if search.by_layout or not _holds_one(pairing, question):
            short.append(search)
        else:
            bound = sum(
                max(model.offered(role), 1.0) * layout.gpus * price_of(layout, question)
                for role, layout in pairing.items()
            )
            able.append(_Able(bound, search))
    return sorted(able, key=lambda each: (each.bound, name_of(each.pairing))), short


def _shortlist(layouts: Sequence[LayoutProfile], question: Question) -> list[Pairing]:
    """Return the pairings that win or come nearest to it, the best first."""
    able, _ = _able(pairings(layouts), question)
    return [fleet.pairing for fleet in _fleets(able, question)[:_SHORTLIST]]


def _names(pairing: Pairing) -> dict[Role, str]:
    return {role: layout.parallelism.name for role, layout in pairing.items()}


def _holds_one(pairing: Pairing, question: Question) -> bool:
    """Whether the KV cache of each replica holds one whole request, the longest."""
    tokens = max(atom.isl_tokens + atom.osl_tokens for atom in question.mix.atoms)
    return all(tokens + x.kv_fixed_tokens <= x.kv_capacity_tokens for x in pairing.values())


def _fleets(able: Sequence[_Able], question: Question, progress: Progress | None = None) -> list[Fleet]:
    """Return the cheapest fleet per pairing, best first; pairings that cannot be second-best are skipped."""
    found: list[Fleet] = []
    for done, each in enumerate(able):
        if progress:
            progress(done, len(able), "selecting")
        ranked = sorted(fleet.cost for fleet in found)
        if len(ranked) >= 2 and each.bound > ranked[1]:
            break
        fleet = _cheapest(each, question)
        if fleet is not None:
            found.append(fleet)
    if progress:
        progress(len(able), len(able), "selecting")
    return sorted(found, key=Fleet.rank)


def _cheapest(each: _Able, question: Question) -> Fleet | None:
    """Return the cheapest fleet of a pairing that keeps the promise; None when widening finds none either."""
    price = {role: price_of(layout, question) for role, layout in each.pairing.items()}
    counts: Mapping[Role, int] = {role: each.search.alone(role) for role in each.search.roles}
    for _ in range(_WIDENINGS):
        counts = each.search.cheapest(counts, price=price)
        if each.search.reaches(counts):
            prediction = describe(each.search.model, counts)
            cost = sum(layout.gpus * counts[role] * price[role] for role, layout in each.pairing.items())
            return Fleet(each.pairing, dict(counts), prediction, cost)
    return None


def _again(
    shortlist: Sequence[Pairing],
    question: Question,
    scale: Mapping[str, float],
    machines: Sequence[Machine],
) -> Fleet | None:
    """Return the best fleet of a shortlist for another question, layouts by key slower by `scale`."""
    slowed = [
        {role: _slower(x, scale.get(x.key, 1.0)) for role, x in pairing.items()} for pairing in shortlist
    ]
    fleets = _fleets(_able(slowed, question)[0], question)
    return next((fleet for fleet in fleets if why_unplaced(fleet, question, machines) is None), None)


def _slower(layout: LayoutProfile, factor: float) -> LayoutProfile:
    """Return a layout whose every time is longer by a factor."""
    if factor == 1.0:
        return layout
    surfaces = {
        phase: surface
        and replace(surface, values_s=tuple(tuple(v * factor for v in row) for row in surface.values_s))
        for phase, surface in (("prefill", layout.prefill), ("decode", layout.decode))
    }
    return replace(layout, prefill=surfaces["prefill"], decode=surfaces["decode"])
