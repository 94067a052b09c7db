"""Each fault of the table in the planner's DESIGN.md is shown by tests that exist."""

import re

from tests.components import REPOSITORY

# What a scaler in a cluster meets: each has its row.
FAULTS = (
    *(f"Prometheus {what}" for what in ("down", "slow", "500", "401, token renewed", "answers NaN")),
    *("Prometheus answers in part", "clock skew", "Prometheus restarted with a hole"),
    *(f"API server {what}" for what in ("down", "slow", "409", "403", "410 on a watch", "429")),
    *("API server killed and restarted", "etcd paused", "leader killed at any step"),
    *("two leaders for a moment", "target deleted and recreated", "target scaled by hand"),
    *("target paused", "target in a rollout", "an HPA on the same pool", "a pod pending for an hour"),
    *("workers crash-looping", "configuration broken while running", "disk full under the journal"),
)


def _rows() -> list[list[str]]:
    text = (REPOSITORY / "planner" / "DESIGN.md").read_text(encoding="utf-8")
    section = text.partition("## What may go wrong\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_fault_has_its_row_once() -> None:
    assert [row[0] for row in _rows()] == list(FAULTS)


def test_every_row_names_tests_that_stand_in_its_files() -> None:
    for fault, does, shown in _rows():
        assert does, fault
        files = re.findall(r"`([\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", shown)
        assert files, fault
        for file, names in files:
            source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
            for name in re.findall(r"`(test_\w+)`", names):
                assert f"def {name}(" in source, f"{fault}: {name} is not in tests/{file}"
