"""Show what a sweep would measure, and what that takes, before it starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from profiler.order import Order
    from profiler.planning import SweepPlan
    from profiler.wiring import Bench


def show_plan(order: Order, work: Bench, output: str) -> None:
    """Write points and GPU-minutes per layout, and what is left out."""
    from models import codec
    from profiler import wiring
    from profiler.planning import gpu_minutes, plan

    planned = plan(work.roles, wiring.scope(work, order.max_context_tokens))
    minutes = [gpu_minutes(task, work.roles[task.role].backend) for task in planned.tasks]
    if output != "json":
        click.echo(_table(planned, minutes), nl=False)
        return
    rows = [
        {
            "role": task.role.value,
            "layout": task.layout.name,
            "gpus": task.layout.gpus,
            "points": task.size,
            "gpu_minutes": round(spent, 3),
        }
        for task, spent in zip(planned.tasks, minutes, strict=True)
    ]
    body = {
        "schema": "headgate/sweep-plan/v1",
        "layouts": rows,
        "left_out": [codec.to_plain(each) for each in planned.left_out],
        "points": planned.points,
        "gpu_minutes": round(sum(minutes), 3),
    }
    click.echo(json.dumps(body, indent=2))


def _table(planned: SweepPlan, minutes: list[float]) -> str:
    from models.render.grid import Column, Grid, to_text
    from models.render.profile_grid import left_out_grid

    words, figures = ("role", "layout"), ("GPUs", "points", "GPU-minutes")
    columns = (*map(Column, words), *(Column(title, numeric=True) for title in figures))
    rows = [
        (task.role.value, task.layout.name, str(task.layout.gpus), str(task.size), f"{spent:.1f}")
        for task, spent in zip(planned.tasks, minutes, strict=True)
    ]
    total = f"{planned.points} points, {sum(minutes):.1f} GPU-minutes for whole grids, less if adaptive."
    text = to_text(Grid("Plan", columns, tuple(rows), (total,)))
    return text + "\n" + to_text(left_out_grid(planned.left_out)) if planned.left_out else text
