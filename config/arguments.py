"""Read how each engine is told the widths of a layout."""

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from config.document import Kind, read_file
from config.section import Section, refuse
from models.engine_arguments import WIDTHS, Argument, EngineArguments
from models.errors import ConfigError

ARGUMENTS = Path(__file__).parent / "presets" / "arguments"

_SHAPE = "arguments of an engine are a mapping with engine and arguments"
_KIND = Kind("arguments", _SHAPE, _SHAPE)


class ArgumentSettings(Section):
    """One argument of a command line."""

    flags: tuple[str, ...] = Field(min_length=1)
    value: str | None = None
    switch: str | None = None

    @model_validator(mode="after")
    def _carries_one_width(self) -> "ArgumentSettings":
        if (self.value is None) == (self.switch is None):
            refuse([((), "carries either a `value`, or is a `switch`")])
        if (self.value or self.switch) not in WIDTHS:
            refuse([((), f"carries none of {', '.join(WIDTHS)}")])
        return self


class EngineArgumentsSettings(Section):
    """The arguments of an engine."""

    engine: str
    arguments: tuple[ArgumentSettings, ...] = Field(min_length=1)
    unreadable: tuple[str, ...] = ()

    def to_arguments(self) -> EngineArguments:
        """Return them as the planner works with them."""
        return EngineArguments(
            self.engine,
            tuple(Argument(a.flags, a.value or a.switch or "", a.switch is not None) for a in self.arguments),
            self.unreadable,
        )


def engine_arguments(engine: str) -> EngineArguments | None:
    """Return the arguments of an engine by the name of its card; `None` where they are not known."""
    path = ARGUMENTS / f"{engine}.yaml"
    if engine not in {each.stem for each in ARGUMENTS.glob("*.yaml")}:
        return None
    document = read_file(path, _KIND)
    try:
        return EngineArgumentsSettings.model_validate(document.values).to_arguments()
    except ValidationError as error:
        raise ConfigError(f"{path}: {error.errors()[0]['msg']}") from None
