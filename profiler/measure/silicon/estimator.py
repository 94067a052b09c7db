"""Answer the sweep from measured kernels: the silicon backend."""

from dataclasses import dataclass, field, replace
from math import isfinite

from models.architecture import Architecture
from models.artifact import Phase
from models.engine import Engine, Serving
from models.errors import InputError
from models.hardware import Hardware
from models.surface import Bounds
from models.values import Parallelism, Role
from profiler.measure.backend import PHASES, Measurement, Refusal, Replica, SweepPoint
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.roofline.memory import kv_bytes_per_token
from profiler.measure.silicon import builds, database, overheads
from profiler.measure.silicon.database import MissingDataError
from profiler.measure.silicon.naming import Names, names
from profiler.measure.silicon.overheads import Overheads
from profiler.measure.silicon.passes import Passes
from profiler.measure.silicon.reach import decode_bounds, prefill_bounds, reach


@dataclass(frozen=True, slots=True)
class Silicon:
    """Put iteration times together from kernels that were measured one by one, and the engine's overheads.

    `config` names the model in the database, or the folder of its `config.json`; empty: found by the card's
    name. Speculation adds one layer per draft (MTP, EAGLE) to a step that verifies the drafts of all
    sequences, and a step counts for `accepted_tokens`. `decode_hardware` is where finished prompts go.
    Making one raises ConfigError where the database is not installed or lacks model, hardware or engine.
    """

    arch: Architecture
    hardware: Hardware
    engine: Engine
    serving: Serving = field(default_factory=Serving)
    config: str = ""
    decode_hardware: Hardware | None = None
    overheads: Overheads | None = None
    name: str = "silicon"
    computed: bool = True
    _names: Names = field(init=False, repr=False, compare=False)
    _found: dict[tuple[Parallelism, Phase], Passes | Refusal] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Look every name up."""
        database.installed_version()
        served = self.arch.served(self.serving)
        object.__setattr__(self, "arch", served)
        object.__setattr__(self, "_names", names(served, self.hardware, self.engine, self.config))
        if self.overheads is None:
            constants = overheads.of(self.engine.name, self.engine.constants.request_s)
            object.__setattr__(self, "overheads", constants)

    @property
    def identity(self) -> str:
        """The database, and what is read from it."""
        n = self._names
        version = database.version_of(n.system, n.backend)
        experts = f", {n.moe} experts" if n.moe else ""
        return (
            f"aiconfigurator-core {database.installed_version()}: {n.model} on {n.system} with "
            f"{n.backend} {version}, {n.gemm} products{experts}, {n.kv} cache"
        )

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return limits, memory, fixed costs and measured ranges of a layout, or why it has none."""
        base = Roofline(self.arch, self.hardware, self.engine, self.serving, self.decode_hardware).describe(
            role, parallelism
        )
        if isinstance(base, Refusal):
            return base
        notes: dict[str, None] = {}
        bounds: list[tuple[Phase, Bounds]] = []
        for phase in PHASES[role]:
            passes = self.passes(parallelism, phase)
            if isinstance(passes, Refusal):
                return passes
            if passes.blend.note:
                notes[passes.blend.note] = None
            found = self._bounds(passes, phase, parallelism, base)
            if found is None:
                notes["no measured range is common to all kernels"] = None
            else:
                bounds.append((phase, found))
        capacity, from_where = self._kv_capacity(parallelism, base)
        constants = self._overheads
        fitted = f"overheads fitted on {constants.fitted_on}" if constants.fitted_on else "kernels alone"
        return replace(
            base,
            kv_capacity_tokens=capacity,
            overhead_s=0.0 if role is Role.DECODE else constants.request_s,
            provenance=f"{self.identity}; {fitted}; KV capacity {from_where}",
            bounds=tuple(bounds),
            extrapolated="; ".join(notes),
        )

    def cost_s(self, point: SweepPoint) -> float:
        """Return 0: nothing is held while a table is read."""
        return 0.0

    def release(self, role: Role, parallelism: Parallelism) -> None:
        """Forget the layout's builds."""
        for phase in PHASES[role]:
            self._found.pop((parallelism, phase), None)

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        """Return the seconds of one point, or that the database lacks it."""
        try:
            if point.phase is Phase.DECODE:
                seconds = self.decode_s(point.parallelism, point.tokens, point.batch)
            else:
                seconds = self.prefill_s(
                    point.parallelism, point.tokens, point.batch, point.cached_tokens, point.role
                )
        except MissingDataError as why:
            return Refusal(str(why))
        if not (isfinite(seconds) and seconds > 0):
            return Refusal(f"the database answers {seconds} seconds")
        return Measurement(seconds)

    def decode_s(self, layout: Parallelism, context_tokens: float, batch: float) -> float:
        """Return the seconds per output token of each of `batch` sequences of the replica.

        With `pp` stages the batch is cut into as many parts that follow one another. Raises MissingDataError.
        """
        passes = self._asked(layout, Phase.DECODE)
        rank = max(batch / layout.pp / layout.dp, 1.0)
        kernels_s = passes.decode_s(rank, context_tokens)
        step_s = self._overheads.decode_s(kernels_s, self.arch.layers, rank, passes.blend.doublings)
        return step_s / self.serving.accepted_tokens

    def prefill_s(
        self,
        layout: Parallelism,
        tokens: float,
        batch: float,
        cached_tokens: float = 0.0,
        role: Role = Role.PREFILL,
    ) -> float:
        """Return the engine seconds in which `batch` prompts are read together.

        `tokens` of each are computed behind `cached_tokens`, in passes of the engine's most tokens per rank;
        m passes take (m + pp - 1) / pp times one pass through all stages. Raises MissingDataError.
        """
        passes = self._asked(layout, Phase.PREFILL)
        prompts = max(batch / layout.dp, 1.0)
        count, kernels_s = passes.prefill_s(
            prompts, tokens, cached_tokens, self.engine.max_num_batched_tokens
        )
        pass_s = self._overheads.prefill_s(
            kernels_s, self.arch.layers, prompts / count, passes.blend.doublings, role is Role.PREFILL
        )
        return (count + layout.pp - 1) / layout.pp * pass_s

    @property
    def _overheads(self) -> Overheads:
        assert self.overheads is not None
        return self.overheads

    def _asked(self, layout: Parallelism, phase: Phase) -> Passes:
        found = self.passes(layout, phase)
        if isinstance(found, Refusal):
            raise MissingDataError(found.reason)
        return found

    def passes(self, layout: Parallelism, phase: Phase) -> Passes | Refusal:
        """Return the passes of a layout in one phase, found once."""
        key = (layout, phase)
        if key not in self._found:
            try:
                found = builds.blend(self._names, self.arch, layout, self.serving.draft_tokens, phase)
                self._found[key] = Passes(found)
            except MissingDataError as why:
                self._found[key] = Refusal(f"the database has no data for it: {why}")
        return self._found[key]

    def _bounds(self, passes: Passes, phase: Phase, layout: Parallelism, base: Replica) -> Bounds | None:
        """Return the range that the last of the builds spans: it has the fewest experts per rank."""
        found = reach(passes.blend.parts[-1][1], phase)
        if phase is Phase.DECODE:
            per_sequence = self.serving.draft_tokens + 1
            return decode_bounds(found, per_sequence, layout.dp * layout.pp, base.limits.max_num_seqs)
        chunk = self.engine.max_num_batched_tokens
        return prefill_bounds(found, chunk, layout.dp, base.limits.max_num_seqs)

    def _kv_capacity(self, layout: Parallelism, base: Replica) -> tuple[float, str]:
        """Return the KV cache of the replica in tokens, and who says so.

        The database's own estimate, where it makes one. It refuses layouts that were served in public runs,
        so a refusal is no proof that a layout does not fit: then the roofline's memory model counts.
        """
        request = builds.request(self._names, self.arch, layout, self.serving.draft_tokens)
        try:
            bytes_ = database.kv_bytes(
                request,
                self.engine.max_num_batched_tokens,
                self.engine.max_num_seqs,
                self.engine.memory_reserve_ratio,
            )
        except (MissingDataError, InputError) as why:
            return (
                base.kv_capacity_tokens,
                f"by the roofline's memory model (the database: {str(why).partition(':')[0]})",
            )
        tokens = bytes_ / kv_bytes_per_token(self.arch, layout) * layout.dp
        if tokens < self.engine.max_num_batched_tokens:
            return base.kv_capacity_tokens, "by the roofline's memory model (the database leaves too little)"
        return tokens, "as the database estimates it"
