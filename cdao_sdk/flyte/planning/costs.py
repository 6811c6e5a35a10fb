"""What a job costs at most: list price, instances and the longest time that is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.catalog.prices import list_price
from cdao_sdk.flyte.planning.values import PlannedCost

if TYPE_CHECKING:
    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["most"]


def most(
    spec: JobSpec,
    *,
    region: str,
    attempts: int,
    elements: int | None,
    limit_seconds: float | None,
) -> PlannedCost:
    """The cost of a job that uses all the time it has, in every attempt.

    Spot is bound by the price on demand; storage, requests and data transfer are not in it.

    Args:
        spec: The job's options.
        region: AWS region.
        attempts: How often it is run at most.
        elements: How many such jobs there are; None if a run will know.
        limit_seconds: Longest time of one attempt; None without a limit.
    """
    # A warm pool is paid for as long as it waits for the next job.
    waiting = float(getattr(spec, "keep_alive_seconds", None) or 0)
    hours = None if limit_seconds is None else attempts * (limit_seconds + waiting) / 3600
    priced = [
        (count, list_price(instance_type, spec.component, region))
        for instance_type, count in instance_counts(spec)
    ]
    missing = [
        name for (name, _), (_, p) in zip(instance_counts(spec), priced, strict=True) if not p
    ]
    price = priced[0][1]
    usd_per_hour = price.usd_per_hour if price and not missing else None
    as_of = price.as_of if price else ""
    reason = ""
    if missing:
        reason = (
            f"no list price of {' and '.join(missing)} for {spec.component} in {region} is known"
        )
    elif hours is None:
        reason = "it has no time limit; give the task a timeout="
    elif elements is None:
        reason = "how many elements the map has is known at run time"
    if reason:
        return PlannedCost(None, usd_per_hour, hours, as_of, reason)
    hourly = sum(count * (each.usd_per_hour if each else 0.0) for count, each in priced)
    return PlannedCost(
        round(hourly * (hours or 0.0) * (elements or 0), 4), usd_per_hour, hours, as_of
    )


def instance_counts(spec: JobSpec) -> list[tuple[str, int]]:
    """(instance type, number of instances) of each group of a job's instances."""
    groups = getattr(spec, "instance_groups", None) or ()
    return [(group.instance_type, group.instance_count) for group in groups] or [
        (spec.instance_type, spec.instance_count)
    ]
