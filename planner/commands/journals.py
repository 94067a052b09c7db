"""Find the journal that a command reads, and what its records were decided with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from config.commandline import FILE
from planner.commands.options import Command

if TYPE_CHECKING:
    from config.loading import Loaded
    from models.decision import Record
    from planner.record.setting import Setting


def journal_options(function: Command) -> Command:
    """Add --journal and --config, of which a command takes either, and --deployment."""
    for option in (
        click.option("--deployment", help="Deployment to take when the journal holds several."),
        click.option(
            "--config",
            "config_path",
            type=FILE,
            help="Configuration, for its journal and where that lacks one.",
        ),
        click.option(
            "--journal",
            type=click.Path(path_type=Path),
            help="Folder of the journal, or one of its files. [the configuration's]",
        ),
    ):
        function = option(function)
    return function


def opened(journal: Path | None, config_path: Path | None) -> tuple[Path, Loaded | None]:
    """Return the journal and the configuration, where one is given; a usage error where neither is."""
    if journal is None and config_path is None:
        raise click.UsageError("say --journal DIR, or --config FILE for the journal that it names")
    loaded = None
    if config_path is not None:
        from planner.wiring import read_config

        loaded = read_config(config_path)
    if journal is None:
        assert loaded is not None, "one of both is given"
        journal = Path(loaded.settings.journal.to_policy().directory)
    return journal, loaded


def setting_of(journal: Path, record: Record, loaded: Loaded | None) -> Setting | None:
    """Return what a record was decided with: as the journal holds it, or else as configured now."""
    from planner.record.setting import read_setting

    folder = journal if journal.is_dir() else journal.parent
    found = read_setting(folder, record)
    if found is not None or loaded is None:
        return found
    from planner import wiring

    return wiring.setting(wiring.deployment(loaded, record.deployment))
