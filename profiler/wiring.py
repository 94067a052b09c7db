"""Turn what a person ordered into the frozen values that profiling takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from config import reference
from models.architecture import Architecture
from models.artifact import Machine, Question
from models.engine import Engine, Serving
from models.errors import ConfigError
from models.values import Role
from profiler.layouts import candidates, chosen
from profiler.measure.backend import Backend
from profiler.measure.roofline.estimator import Roofline
from profiler.order import Order
from profiler.planning import COARSE, RoleBench, Scope
from profiler.reading import by_hardware, layouts_per_role, per_role, request_mix
from profiler.sampling.full import Full
from profiler.sweep import NoRivals, Rivals, Sampler

# The load to select for when neither a rate nor a budget says one, and where a search for the highest starts.
DEFAULT_RATE_RPS = 10.0


@dataclass(frozen=True, slots=True)
class Bench:
    """Hold what one profiling run works with."""

    arch: Architecture
    engine: Engine
    serving: Serving
    roles: Mapping[Role, RoleBench]

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The kinds of hardware, each once."""
        found = {bench.hardware.name: bench.hardware for bench in self.roles.values()}
        return tuple(Machine(h.name, h.gpus_per_node, h.scaleup_gpus) for h in found.values())

    @property
    def backend(self) -> Backend:
        """The way of measuring; every role has the same, each for its hardware."""
        return next(iter(self.roles.values())).backend

    @property
    def identity(self) -> str:
        """What the times depend on: the model and the backend of each role."""
        return "; ".join(
            dict.fromkeys(f"{role}: {each.backend.identity}" for role, each in self.roles.items())
        )

    @property
    def sources(self) -> dict[str, str]:
        """Where each figure comes from, as `hardware.hbm_bytes` and the like."""
        hardware = {bench.hardware.name: bench.hardware for bench in self.roles.values()}
        groups = [("model", self.arch.sources), ("engine", self.engine.sources)]
        several = len(hardware) > 1
        groups += [(f"hardware.{n}" if several else "hardware", h.sources) for n, h in hardware.items()]
        return {f"{group}.{key}": text for group, found in groups for key, text in found.items()}


MakeBackend = Callable[[Architecture, Role, RoleBench], Backend]
"""Makes a role's backend that measures; its bench holds the estimator of the same cards as a prior."""


def bench(order: Order, make: MakeBackend | None = None) -> Bench:
    """Read the cards and make the backends; raises ConfigError for a name that is not known.

    `make` makes those of a backend that needs more than cards: an endpoint, a cluster.
    """
    serving = _serving(order)
    arch = reference.architecture(order.model).served(serving)
    engine = reference.engine(order.engine)
    machines = {r: reference.hardware(name) for r, name in per_role(order.hardware, "--hardware").items()}
    wanted = layouts_per_role(order.layouts)
    made: dict[Role, RoleBench] = {}
    for role, machine in machines.items():
        if wanted is None or role in wanted:
            found = chosen(wanted[role], arch, machine) if wanted else candidates(arch, machine)
            prior = Roofline(arch, machine, engine, serving, machines.get(Role.DECODE))
            made[role] = RoleBench(machine, found, prior)
    if not made:
        raise ConfigError("no role is left to profile: --hardware and --layouts name different ones")
    if wanted and not any(each.candidates.legal for each in made.values()):
        raise ConfigError(f"none of the layouts {order.layouts!r} can run: {_why(made)}")
    built = make or partial(_computed, order, engine, serving)
    roles = {role: replace(each, backend=built(arch, role, each)) for role, each in made.items()}
    return Bench(arch, engine, serving, roles)


def scope(bench: Bench, max_context_tokens: int | None = None) -> Scope:
    """Return the bounds of the grids: coarse ones where every point is paid for."""
    most = min(max_context_tokens or bench.arch.max_context_tokens, bench.arch.max_context_tokens)
    return Scope(most, bench.serving, None if bench.backend.computed else COARSE)


def question(order: Order, bench: Bench) -> Question:
    """Return what the selection is asked; raises ConfigError for what does not fit model or hardware."""
    names = [machine.name for machine in bench.machines]
    budget = by_hardware(order.budget, "--budget", names, 1)
    price = by_hardware(order.price, "--price", names, 0)
    if price and set(price) != set(names):
        missing = ", ".join(name for name in names if name not in price)
        raise ConfigError(f"--price: {missing} has none; prices compare only when every GPU has one")
    mix = request_mix(order)
    longest = max(atom.isl_tokens + atom.osl_tokens for atom in mix.atoms)
    if longest > bench.arch.max_context_tokens:
        raise ConfigError(
            f"--isl and --osl exceed the {bench.arch.max_context_tokens} tokens of context "
            f"of {bench.arch.name}"
        )
    return Question(
        rate_rps=order.rate_rps or DEFAULT_RATE_RPS,
        mix=mix,
        quantile=order.quantile,
        ttft_s=order.ttft_s,
        itl_s=order.itl_s,
        e2e_s=order.e2e_s,
        budget_gpus={name: int(gpus) for name, gpus in budget.items()},
        price_per_gpu_h=price,
    )


def sampler(order: Order, bench: Bench) -> Sampler:
    """Return how points are chosen: the whole grid where they cost nothing, else as few as will do."""
    adaptive = order.sampling == "adaptive" if order.sampling else not bench.backend.computed
    if not adaptive:
        return Full(bench.backend.computed)
    from profiler.sampling.adaptive import Adaptive, Aim
    from profiler.sampling.focus import Focus

    return Adaptive(Aim(order.error_ratio), Focus(question(order, bench)))


def rivals(order: Order, bench: Bench) -> Rivals:
    """Return what gives up layouts that cannot win any more; none is where points cost nothing."""
    if bench.backend.computed:
        return NoRivals()
    from profiler.sampling.rivals import Contest

    return Contest(question(order, bench))


def _serving(order: Order) -> Serving:
    try:
        return Serving(
            order.weight_precision,
            order.kv_precision,
            order.prefix_ratio,
            order.draft_tokens,
            order.accepted_tokens,
        )
    except ValueError as error:
        raise ConfigError(f"--draft-tokens, --accepted-tokens, --prefix-ratio: {error}") from None


def _computed(
    order: Order, engine: Engine, serving: Serving, arch: Architecture, role: Role, prior: RoleBench
) -> Backend:
    if order.backend == "roofline":
        return prior.backend
    if order.backend == "silicon":
        from profiler.measure.silicon.estimator import Silicon

        decode_hardware = prior.backend.decode_hardware if isinstance(prior.backend, Roofline) else None
        return Silicon(arch, prior.hardware, engine, serving, order.silicon_config, decode_hardware)
    raise ConfigError(f"the backend {order.backend!r} measures, and nothing to measure was given")


def _why(made: Mapping[Role, RoleBench]) -> str:
    reasons = dict.fromkeys(
        f"{name}: {reason}" for each in made.values() for name, reason in each.candidates.ruled_out
    )
    return "; ".join(reasons) or "none is named"
