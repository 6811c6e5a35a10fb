"""A plan in words: for its text, its table in a notebook and the command's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdao_sdk.flyte.planning.values import Plan, PlannedJob

__all__ = ["HEAD", "jobs", "row", "text", "title", "totals", "unknown_costs"]

HEAD = ("STEP", "KIND", "INSTANCES", "LIMIT", "AT MOST")


def title(plan: Plan) -> str:
    """The workflow's own name."""
    return plan.name.rpartition(".")[2]


def jobs(plan: Plan) -> str:
    """How many steps become jobs."""
    return f"{len(plan.jobs)} {'job' if len(plan.jobs) == 1 else 'jobs'} · nothing was created"


def row(job: PlannedJob) -> tuple[str, str, str, str, str]:
    """One job, in the order of ``HEAD``."""
    step = f"{job.node} {job.function}"
    return step, job.title, _instances(job), _duration(job.limit_seconds), _price(job)


def _instances(job: PlannedJob) -> str:
    groups = job.instance_groups or (job,)
    counts = ((group.instance_count, group.instance_type) for group in groups)
    hosts = " + ".join(f"{count} x {name}" if count > 1 else name for count, name in counts)
    each = "" if job.elements == 1 else f", {job.elements or 'n'} jobs"
    return f"{hosts}{' spot' if job.spot else ''}{each}"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "none"
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _price(job: PlannedJob) -> str:
    if job.cost.usd is not None:
        return dollars(job.cost.usd)
    return "no price" if job.cost.usd_per_hour is None else "open"


def totals(plan: Plan) -> str:
    """What all costs at most, or that there is nothing to pay for; empty if no price is known."""
    if not plan.jobs:
        is_open = any(step.is_open for step in plan.others)
        return "No job is known before the run." if is_open else "No step is a SageMaker job."
    priced = [job for job in plan.jobs if job.cost.usd is not None]
    if not priced:
        return ""
    some = "" if len(priced) == len(plan.jobs) else f" for {len(priced)} of {len(plan.jobs)} jobs"
    dates = sorted({job.cost.as_of for job in priced if job.cost.as_of})
    when = f", list prices of {dates[0]}" if dates else ""
    return f"At most {dollars(plan.max_usd)}{some}, storage excluded{when}."


def unknown_costs(plan: Plan) -> Iterator[str]:
    """What the total lacks: one sentence for each reason."""
    is_any_known = any(job.cost.usd is not None for job in plan.jobs)
    reasons: dict[str, list[str]] = {}
    for job in plan.jobs:
        if job.cost.reason:
            reasons.setdefault(job.cost.reason, []).append(job.function)
    for reason, functions in reasons.items():
        names = ", ".join(dict.fromkeys(functions))
        yield f"{'Not in it' if is_any_known else 'Cost unknown'}: {names}: {reason}."


def text(plan: Plan) -> str:
    """The plan in a few lines, one for each step."""
    lines = [f"{title(plan)}  {jobs(plan)}", f"{plan.place}, {plan.region}"]
    for job in plan.jobs:
        step, kind, instances, limit, price = row(job)
        cost = price if job.cost.usd is None else f"at most {price}"
        lines.append(f"{step}: {kind} on {instances}, limit {limit}, {cost}")
    lines += [f"{step.node} {step.name}: {step.why}" for step in plan.others]
    return "\n".join([*lines, *filter(None, [totals(plan)]), *unknown_costs(plan)])
