"""Say our names in the database's words: model, system, engine and number formats."""

import re
from dataclasses import dataclass
from pathlib import Path

from models.architecture import Architecture
from models.engine import Engine
from models.errors import ConfigError
from models.hardware import Hardware, Precision
from profiler.measure.silicon import database

ENGINES = ("sglang", "trtllm", "vllm")
_DENSE = {
    Precision.BF16: ("bfloat16",),
    Precision.FP8: ("fp8_static", "fp8", "fp8_block"),
    Precision.FP4: ("nvfp4", "nvfp4_wo"),
}


@dataclass(frozen=True, slots=True)
class Names:
    """Hold what model, hardware and engine are called in the database, and in which formats it runs."""

    model: str
    system: str
    backend: str
    gemm: str
    moe: str | None
    kv: str
    fmha: str


def names(arch: Architecture, hardware: Hardware, engine: Engine, config: str) -> Names:
    """Return the names; raises ConfigError naming the nearest where the database lacks one."""
    if engine.name not in ENGINES:
        raise ConfigError(
            f"the silicon backend knows the engines {', '.join(ENGINES)}, not {engine.name!r}; "
            "use --backend roofline"
        )
    system = system_name(hardware)
    database.version_of(system, engine.name)
    model = model_name(arch, config)
    kv = {Precision.BF16: "bfloat16", Precision.FP8: "fp8"}.get(arch.kv_precision)
    if kv is None:
        raise ConfigError(f"the database holds no attention over an {arch.kv_precision} cache; use fp8")
    return Names(
        model,
        system,
        engine.name,
        gemm=_gemm(arch, system, engine.name),
        moe=_moe(arch, hardware, system, engine.name),
        kv=kv,
        fmha=_fmha(arch, system, engine.name, kv),
    )


def system_name(hardware: Hardware) -> str:
    """Return the system of a hardware card: its name, or its name as an SXM board."""
    known = database.systems()
    plain = hardware.name.lower().replace("-", "_")
    found = next((name for name in (plain, f"{plain}_sxm") if name in known), None)
    if found is None:
        raise ConfigError(
            f"the database holds no measurements on {hardware.name}; {database.nearest(plain, known)}"
        )
    return found


def model_name(arch: Architecture, config: str) -> str:
    """Return the model's bundled name, or the folder of a configuration of one's own, of the card's shape."""
    if config:
        path = Path(config)
        folder = path.parent if path.name == "config.json" else path
        if (folder / "config.json").is_file():
            found = str(folder)
        elif config in database.models():
            found = config
        else:
            near = database.nearest(config, database.models())
            raise ConfigError(
                f"{config}: neither a folder with config.json nor a model whose configuration the database "
                f"brings; {near}"
            )
    else:
        wanted = _plain(arch.name)
        matches = [name for name in database.models() if _plain(name) == wanted]
        if not matches:
            near = database.nearest(arch.name, database.models())
            raise ConfigError(
                f"the database brings no configuration of {arch.name!r}; name the folder of its config.json, "
                f"or a model by its name; {near}"
            )
        found = matches[0]
    _check_shape(arch, found)
    return found


def _plain(name: str) -> str:
    """Return what identifies a model: no organisation, no vendor prefix, no tuning suffix."""
    last = re.sub(r"[^a-z0-9]+", "-", name.lower().rpartition("/")[2])
    return last.removeprefix("meta-").removesuffix("-instruct").removesuffix("-0528")


def _check_shape(arch: Architecture, model: str) -> None:
    shape = database.shape(model)
    ours = {
        "layers": arch.layers,
        "hidden_size": arch.hidden,
        "n": arch.attention.query_heads,
        "vocab": arch.vocabulary,
    }
    theirs = {key: shape.get(key) for key in ours}
    if theirs != ours:
        raise ConfigError(
            f"{model} is not {arch.name}: its configuration says {theirs}, the card says {ours}"
        )


def _gemm(arch: Architecture, system: str, backend: str) -> str:
    """Return the format of dense products.

    DeepSeek's fp8 is scaled by blocks; other checkpoints mostly by constants (ModelOpt), which spares the
    kernels that measure the scale: their times are a table of their own.
    """
    if arch.weight_precision is Precision.FP8 and arch.attention.latent is not None:
        return "fp8_block"
    wanted = _DENSE[arch.weight_precision]
    held = {_name(key) for key in database.table(system, backend, "gemm")}
    if "fp8" in held and database.table(system, backend, "compute_scale"):
        held.add("fp8_static")
    found = next((name for name in wanted if name in held), None)
    if found is None:
        raise ConfigError(
            f"the database holds no {arch.weight_precision} products of {backend} on {system}, "
            f"only {', '.join(sorted(held))}"
        )
    return found


def _moe(arch: Architecture, hardware: Hardware, system: str, backend: str) -> str | None:
    """Return the format of routed experts nearest to the card's that was measured for this model."""
    if arch.experts is None:
        return None
    wanted = _expert_formats(arch, hardware)
    held = _measured_formats(arch, system, backend)
    found = next((name for name in wanted if name in held), None)
    if found is None:
        raise ConfigError(
            f"the database holds no {wanted[0]} experts of {arch.name} for {backend} on {system}, "
            f"only {', '.join(sorted(held)) or 'none at all'}"
        )
    return found


def _expert_formats(arch: Architecture, hardware: Hardware) -> tuple[str, ...]:
    """Return formats in the order of likeness: weights first, then activations.

    MXFP4 (gpt-oss) meets 8-bit activations where tensor cores take 4-bit weights (Blackwell), else 16-bit
    ones; NVFP4 meets 4-bit ones, or is widened.
    """
    assert arch.experts is not None
    stored, met = arch.experts.precision, arch.experts.activation_precision
    if stored is Precision.FP8:
        return ("fp8_block", "fp8") if arch.attention.latent is not None else ("fp8", "fp8_block")
    if stored is Precision.BF16:
        return ("bfloat16",)
    widened = Precision.FP4 not in hardware.flops_per_s
    if met is Precision.FP4:
        return ("nvfp4_wo", "w4a16_nvfp4") if widened else ("nvfp4",)
    eight = ("w4a8_mxfp4_mxfp8", "w4a8_mxfp4_mxfp8_trtllm")
    sixteen = ("w4a16_mxfp4", "w4a16_mxfp4_cutlass")
    return sixteen if widened or met is Precision.BF16 else eight + sixteen


def _measured_formats(arch: Architecture, system: str, backend: str) -> set[str]:
    """Return the formats in which experts of this model's shape were measured, of whatever width."""
    assert arch.experts is not None
    keys = (arch.experts.active, arch.experts.routed, arch.hidden, arch.experts.intermediate)
    found = set()
    for quant, by_distribution in database.table(system, backend, "moe").items():
        for nested in by_distribution.values():
            leaf = nested
            for key in keys:
                leaf = leaf.get(key) or {}
            if leaf:
                found.add(_name(quant))
    return found


def _fmha(arch: Architecture, system: str, backend: str, kv: str) -> str:
    """Return the format in which attention reads prompts: bf16 where latent, else as the weights allow."""
    if arch.attention.latent is not None or arch.weight_precision is Precision.BF16 or kv != "fp8":
        return "bfloat16"
    held = database.table(system, backend, "context_attention")
    eight = [_name(each) for key, by_kv in held.items() if _name(key) == "fp8" for each in by_kv]
    return "fp8" if kv in eight else "bfloat16"


def _name(key: object) -> str:
    return str(getattr(key, "name", key))
