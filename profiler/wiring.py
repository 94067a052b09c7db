"""Turn names that a person gave into the frozen values that profiling takes."""

from dataclasses import dataclass

from config import reference
from models.architecture import Architecture
from models.engine import Engine
from models.errors import ConfigError
from models.hardware import Hardware
from profiler.layouts import Candidates, candidates, chosen
from profiler.measure.backend import Backend
from profiler.measure.roofline.estimator import Roofline

BACKENDS = ("roofline",)


@dataclass(frozen=True, slots=True)
class Bench:
    """Hold what one profiling run works with."""

    arch: Architecture
    hardware: Hardware
    engine: Engine
    backend: Backend
    candidates: Candidates

    @property
    def sources(self) -> dict[str, str]:
        """Where each figure comes from, as `hardware.hbm_bytes` and the like."""
        groups = (
            ("hardware", self.hardware.sources),
            ("model", self.arch.sources),
            ("engine", self.engine.sources),
        )
        return {f"{group}.{key}": text for group, found in groups for key, text in found.items()}


def bench(
    model: str, hardware: str, engine: str, backend: str = "roofline", layouts: str | None = None
) -> Bench:
    """Read the cards and make the backend; raises ConfigError for a name that is not known."""
    if backend not in BACKENDS:
        raise ConfigError(f"no backend {backend!r}; there is {', '.join(BACKENDS)}")
    arch, machine = reference.architecture(model), reference.hardware(hardware)
    served_by = reference.engine(engine)
    found = chosen(layouts, arch, machine) if layouts else candidates(arch, machine)
    if layouts and not found.legal:
        why = "; ".join(f"{name}: {reason}" for name, reason in found.ruled_out) or "none is named"
        raise ConfigError(f"none of the layouts {layouts!r} can run: {why}")
    return Bench(arch, machine, served_by, Roofline(arch, machine, served_by), found)
