"""List the layouts that an engine could run, and say of every other why not."""

import re
from dataclasses import dataclass

from models.architecture import Architecture
from models.errors import ConfigError
from models.hardware import Hardware
from models.values import Parallelism

TENSOR_WIDTHS = (1, 2, 4, 8, 16)
EXPERT_WIDTHS = (2, 4, 8, 16, 32, 64, 72)
PIPELINE_DEPTHS = (2, 4)

_NUMBER = "([1-9][0-9]{0,4})"
_NAME = re.compile(f"(TP|TEP|DEP){_NUMBER}(?:-PP{_NUMBER})?")
_EXPLICIT = re.compile(f"TP{_NUMBER}-DP{_NUMBER}-EP{_NUMBER}(?:-PP{_NUMBER})?")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Hold the layouts to measure, and those that are ruled out with the reason, by name."""

    legal: tuple[Parallelism, ...]
    ruled_out: tuple[tuple[str, str], ...]


def candidates(arch: Architecture, hardware: Hardware) -> Candidates:
    """Return TP, TEP, DEP and PP layouts of the usual widths, sorted by kind and width.

    Pipelines are listed over the widest TP that stays in a node, where they can help: they take less of the
    links than TP does, which matters when a replica leaves its node or NVLink domain.
    """
    shapes = [Parallelism(tp=n) for n in TENSOR_WIDTHS]
    if arch.experts is not None:
        shapes += [Parallelism(tp=n, ep=n) for n in TENSOR_WIDTHS[1:]]
        shapes += [Parallelism(dp=n, ep=n) for n in EXPERT_WIDTHS]
    node = max(n for n in TENSOR_WIDTHS if n <= hardware.gpus_per_node)
    shapes += [Parallelism(tp=node, pp=depth) for depth in PIPELINE_DEPTHS]
    legal, ruled_out = [], []
    for shape in shapes:
        why = why_not(shape, arch, hardware)
        if why is None:
            legal.append(shape)
        else:
            ruled_out.append((shape.name, why))
    return Candidates(tuple(legal), tuple(ruled_out))


def chosen(names: str, arch: Architecture, hardware: Hardware) -> Candidates:
    """Return the layouts that a person listed, such as `TP1,TEP4`; raises ConfigError for an unknown name."""
    legal, ruled_out = [], []
    for name in dict.fromkeys(part.strip().upper() for part in names.split(",") if part.strip()):
        shape = parse(name)
        why = why_not(shape, arch, hardware)
        if why is None:
            legal.append(shape)
        else:
            ruled_out.append((shape.name, why))
    return Candidates(tuple(legal), tuple(ruled_out))


def parse(name: str) -> Parallelism:
    """Read a layout's short name; raises ConfigError with an example otherwise."""
    explicit = _EXPLICIT.fullmatch(name)
    if explicit is not None:
        tp, dp, ep, pp = (int(width or 1) for width in explicit.groups())
        if (tp * dp) % ep:
            raise ConfigError(f"{name[:40]!r} is not a layout: EP{ep} does not divide {tp * dp} GPUs")
        return Parallelism(tp=tp, pp=pp, dp=dp, ep=ep)
    match = _NAME.fullmatch(name)
    if match is None or (match[1] != "TP" and match[2] == "1"):
        raise ConfigError(
            f"{name[:40]!r} is not a layout; write for example TP4, TEP4, DEP8, TP8-PP2 or TP2-DP4-EP8"
        )
    width, pp = int(match[2]), int(match[3] or 1)
    match match[1]:
        case "TEP":
            return Parallelism(tp=width, ep=width, pp=pp)
        case "DEP":
            return Parallelism(dp=width, ep=width, pp=pp)
        case _:
            return Parallelism(tp=width, pp=pp)


def why_not(layout: Parallelism, arch: Architecture, hardware: Hardware) -> str | None:
    """Return why no engine runs this layout of the model on the hardware, None when one does.

    Memory is not looked at here: what a replica holds is the backend's to say.
    """
    heads, kv_heads = arch.attention.query_heads, arch.attention.kv_heads
    if arch.experts is None and layout.ep > 1:
        return "the model has no experts to spread"
    if arch.experts is not None and layout.ep > arch.experts.routed:
        return f"{layout.ep} ranks for {arch.experts.routed} experts"
    if heads % layout.tp:
        return f"{heads} attention heads do not divide by {layout.tp}"
    if arch.attention.latent is None and layout.tp > kv_heads:
        return f"{kv_heads} KV heads: beyond TP{kv_heads} each GPU repeats another's cache"
    if layout.pp > arch.layers:
        return f"{layout.pp} pipeline stages for {arch.layers} layers"
    if layout.tp > hardware.scaleup_gpus:
        return f"its all-reduces would leave the NVLink domain of {hardware.scaleup_gpus} GPUs"
    if layout.gpus > hardware.gpus_per_node and layout.gpus % hardware.gpus_per_node:
        return f"{layout.gpus} GPUs are not whole nodes of {hardware.gpus_per_node}"
    if layout.stage_gpus > hardware.scaleup_gpus and hardware.scaleup_gpus > hardware.gpus_per_node:
        return f"wider than the NVLink domain of {hardware.scaleup_gpus} GPUs"
    return None
