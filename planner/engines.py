"""Equip the layouts of a deployment with what its configuration states of its engines."""

from collections.abc import Mapping
from dataclasses import replace

from models.artifact import LayoutProfile, ProfileArtifact
from models.equipping import EnginePolicy, equip
from models.errors import ConfigError
from models.values import Role


def equipped(
    artifact: ProfileArtifact, layout: LayoutProfile, stated: EnginePolicy, source: str
) -> LayoutProfile:
    """Return a layout as the deployment's engines run it; raises ConfigError for what cannot be known.

    `source` names the file and the deployment. A profile that was measured with speculation says how many
    tokens a step emits.
    """
    profiled = artifact.serving.accepted_tokens
    if stated.accepted_tokens is None and profiled > 1.0:
        stated = replace(stated, accepted_tokens=profiled)
    try:
        return equip(layout, stated, profiled)
    except ValueError as error:
        raise ConfigError(f"{source}: engine.{error}") from None


def equip_all(
    artifact: ProfileArtifact,
    layouts: Mapping[Role, LayoutProfile],
    stated: EnginePolicy,
    source: str,
) -> dict[Role, LayoutProfile]:
    """Return every role's layout as the deployment's engines run it."""
    return {role: equipped(artifact, layout, stated, source) for role, layout in layouts.items()}
