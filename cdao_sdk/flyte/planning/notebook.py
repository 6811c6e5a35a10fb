"""A plan as a notebook shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cdao_sdk.flyte.planning import wording

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdao_sdk.flyte.planning.values import Plan

__all__ = ["plan_html"]


def plan_html(plan: Plan) -> str:
    """A table of the jobs, the image of each in its tooltip; below it costs and other steps."""
    head = f"<b>{escape(wording.title(plan))}</b> {escape(wording.jobs(plan))}"
    place = escape(f"{plan.place}, {plan.region}")
    notes = [
        *filter(None, [wording.totals(plan)]),
        *wording.unknown_costs(plan),
        *(f"{job.node} {job.function}: {note}" for job in plan.jobs for note in job.notes),
        *(f"{step.node} {step.name}: {step.why}" for step in plan.others),
    ]
    table = ""
    if plan.jobs:
        rows = "".join(
            f'<tr title="{escape(job.job_name)}&#10;{escape(job.image.uri)}">'
            f"{_cells('td', wording.row(job))}</tr>"
            for job in plan.jobs
        )
        table = f"<table><tr>{_cells('th', wording.HEAD)}</tr>{rows}</table>"
    below = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return f"<div>{head}<br>{place}</div>{table}{below}"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f'<{tag} style="text-align:left">{escape(text)}</{tag}>' for text in texts)
