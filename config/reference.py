"""Read reference cards: published figures of GPUs, models and engines, each with its source."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from config.cards import (
    ArchitectureFigures,
    AttentionFigures,
    Card,
    ConstantsFigures,
    EngineFigures,
    ExpertsFigures,
    HardwareFigures,
    LatentFigures,
)
from config.document import Kind, read_file
from config.section import Section
from models.architecture import Architecture, Attention, Experts, Latent
from models.engine import Engine, EngineConstants
from models.errors import ConfigError
from models.hardware import Hardware, Precision

PRESETS = Path(__file__).parent / "presets"

_SHAPE = "a card is a mapping with name and published"
_KIND = Kind("card", _SHAPE, _SHAPE)

Figures = TypeVar("Figures", bound=Section)


def hardware(name: str) -> Hardware:
    """Return a GPU by name, alias or path of a card of one's own (`*.yaml`).

    Raises ConfigError for an unknown name, with the nearest ones, and for a card that is wrong.
    """
    where, card = _card("hardware", name)
    figures, sources = _figures(where, card, HardwareFigures)
    if Precision.BF16 not in figures.flops_per_s:
        raise ConfigError(f"{where}: flops_per_s lacks bf16: the rate to which other formats are widened")
    if figures.scaleup_gpus % figures.gpus_per_node:
        raise ConfigError(
            f"{where}: scaleup_gpus must be whole nodes of gpus_per_node={figures.gpus_per_node}"
        )
    return Hardware(name=card.name, sources=sources, **dict(figures))


def architecture(name: str) -> Architecture:
    """Return a model by name, alias (`openai/gpt-oss-120b`) or path of a card of one's own (`*.yaml`).

    Raises ConfigError for an unknown name, with the nearest ones, and for a card that is wrong.
    """
    where, card = _card("llm", name)
    figures, sources = _figures(where, card, ArchitectureFigures)
    written, experts = figures.attention, figures.experts
    if written.windowed_layers > figures.layers or (written.windowed_layers > 0) != (
        written.window_tokens > 0
    ):
        raise ConfigError(f"{where}: attention: windowed_layers and window_tokens must be given together")
    if experts is not None and (experts.active > experts.routed or experts.dense_layers >= figures.layers):
        raise ConfigError(f"{where}: experts: active must be at most routed, dense_layers below layers")
    latent = Latent(**dict(written.latent)) if written.latent else None
    found = Architecture(
        name=card.name,
        sources=sources,
        **{
            **dict(figures),
            "attention": Attention(**{**dict(written), "latent": latent}),
            "experts": Experts(**dict(experts)) if experts else None,
        },
    )
    if not 0.9 < found.counted_parameters() / found.parameters < 1.1:
        raise ConfigError(
            f"{where}: the shape has {found.counted_parameters() / 1e9:.1f} B parameters, "
            f"`parameters` says {found.parameters / 1e9:.1f} B: a figure is wrong"
        )
    return found


def engine(name: str) -> Engine:
    """Return an engine by name, alias or path of a card of one's own (`*.yaml`); raises ConfigError."""
    where, card = _card("engine", name)
    figures, sources = _figures(where, card, EngineFigures)
    constants = EngineConstants(**dict(figures.constants))
    return Engine(name=card.name, sources=sources, **{**dict(figures), "constants": constants})


def names(kind: str) -> list[str]:
    """Return the names of the cards of a kind (`hardware`, `llm`, `engine`) that come with Headgate."""
    return sorted(_read(path).name for path in (PRESETS / kind).glob("*.yaml"))


def _card(kind: str, name: str) -> tuple[str, Card]:
    """Find a card; returns what to call it in messages, and the card."""
    if name.lower().endswith((".yaml", ".yml")):
        return name, _read(Path(name))
    known: dict[str, tuple[Path, Card]] = {}
    for path in sorted((PRESETS / kind).glob("*.yaml")):
        card = _read(path)
        for known_name in (card.name, *card.aliases):
            known[_plain(known_name)] = (path, card)
    wanted = _plain(name)
    # Anybody's copy of a model is that model: the part after the organisation decides.
    found = known.get(wanted) or known.get(wanted.rpartition("/")[2])
    if found is None:
        near = difflib.get_close_matches(wanted.rpartition("/")[2], known, n=3, cutoff=0.5)
        nearest = sorted({known[n][1].name for n in near})
        hint = f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
        raise ConfigError(
            f"no {_SAY[kind]} card {name!r}{hint}; there are {', '.join(names(kind))}, "
            "and a card of your own is named by its path, such as ./card.yaml"
        )
    return f"{kind}/{found[0].name}", found[1]


_SAY = {"hardware": "hardware", "llm": "model", "engine": "engine"}


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", "-").replace(" ", "-")


def _read(path: Path) -> Card:
    document = read_file(path, _KIND)
    if document.faults:
        fault = document.faults[0]
        raise ConfigError(f"{path}:{fault.line}: {'.'.join(map(str, fault.path))} {fault.sentence}")
    try:
        return Card.model_validate(document.values)
    except ValidationError as error:
        raise _explained(str(path), error, Card) from None


def _figures(where: str, card: Card, kind: type[Figures]) -> tuple[Figures, dict[str, str]]:
    """Merge the groups of a card; returns the figures and the source of each."""
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for group in card.published:
        source = group.get("source")
        if not isinstance(source, str) or not source.strip():
            raise ConfigError(
                f"{where}: a group under published has no source: say where its figures come from"
            )
        for key, value in group.items():
            if key == "source":
                continue
            if key in merged:
                raise ConfigError(f"{where}: {key} is given twice")
            merged[key], sources[key] = value, source.strip()
    try:
        return kind.model_validate(merged), sources
    except ValidationError as error:
        raise _explained(where, error, kind) from None


def _explained(where: str, error: ValidationError, kind: type[Section]) -> ConfigError:
    """Turn the first problem into a sentence that names file, key and the nearest known key."""
    # A mistyped key is also a missing one: the former says more.
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        last = str(problem["loc"][-1])
        near = difflib.get_close_matches(last, _keys(kind), n=1)
        return ConfigError(f"{where}: unknown key {key}" + (f"; did you mean {near[0]}?" if near else ""))
    if problem["type"] == "missing":
        return ConfigError(f"{where}: {key} is missing")
    return ConfigError(f"{where}: {key}: {problem['msg'].lower()}, got {problem['input']!r}")


def _keys(kind: type[Section]) -> set[str]:
    nested = (LatentFigures, AttentionFigures, ExpertsFigures, ConstantsFigures)
    return set(kind.model_fields) | {key for section in nested for key in section.model_fields}
