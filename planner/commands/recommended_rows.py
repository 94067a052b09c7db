"""Lay recommendations out for a spreadsheet or a pull request: CSV rows and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.commands.answer import Answer


def rows(answers: Sequence[Answer]) -> list[dict[str, object]]:
    """Return a row for each deployment and role; what is not known is `None`."""
    found: list[dict[str, object]] = []
    for answer in answers:
        if answer.made is None:
            found.append({**dict.fromkeys(FIELDS), "deployment": answer.deployment, "sentence": answer.error})
            continue
        record, outlook = answer.made.record, answer.outlook
        at = datetime.fromtimestamp(record.observation.at_s, UTC).isoformat(timespec="seconds")
        for role, final in record.decision.final.items():
            sized = record.sizing.roles.get(role) if record.sizing else None
            found.append(
                {
                    "deployment": record.deployment,
                    "at": at.replace("+00:00", "Z"),
                    "role": role.value,
                    "current": record.decision.current[role],
                    "recommended": final,
                    "lower": sized.lower if sized else None,
                    "upper": sized.upper if sized else None,
                    "uncapped": sized.uncapped if sized else None,
                    "binding": sized.binding.value if sized else None,
                    "binding_class": sized.binding_class if sized else None,
                    "held": record.decision.held,
                    "deployment_gpu_hours_saved_per_month": outlook.saves_gpu_h if outlook else None,
                    "deployment_money_saved_per_month": outlook.saves_money if outlook else None,
                    "currency": outlook.currency if outlook else None,
                    "risk_now": outlook.now.risk if outlook else None,
                    "risk_after": outlook.after.risk if outlook else None,
                    "sentence": record.decision.sentence(role),
                }
            )
    return found


FIELDS = (
    "deployment", "at", "role", "current", "recommended", "lower", "upper", "uncapped", "binding",
    "binding_class", "held", "deployment_gpu_hours_saved_per_month", "deployment_money_saved_per_month",
    "currency", "risk_now", "risk_after", "sentence",
)  # fmt: skip


def markdown(answers: Sequence[Answer]) -> str:
    """Write each recommendation as a section that can stand in a pull request."""
    from models.render.exchange import escaped, to_markdown
    from models.render.outlook_lines import outlook_lines
    from models.render.recommendation_grid import headline, role_grid

    parts = []
    for answer in answers:
        if answer.made is None:
            parts.append(f"## {escaped(answer.deployment)}\n\nCannot be seen: {escaped(answer.error)}\n")
            continue
        record = answer.whole_record()
        lines = [f"- {escaped(record.decision.sentence(role))}" for role in record.decision.final]
        lines += [f"- {what}: {escaped(said)}" for what, said in outlook_lines(answer.outlook)]
        lines += [f"- Unknown: {escaped(gap.what)}: {escaped(gap.reason)}" for gap in record.observation.gaps]
        commands = [f"\n```sh\n{each['command']}\n```\n" for each in answer.patches]
        head = f"## {escaped(record.deployment)}: {escaped(headline(record))}"
        parts.append("\n".join([head, "", to_markdown(role_grid(record)), *lines, *commands]) + "\n")
    return "\n".join(parts)
