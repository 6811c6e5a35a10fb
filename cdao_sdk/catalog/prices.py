"""List prices, as far as a dated source gave them. What is not listed is unknown, never guessed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from cdao_sdk.catalog.tables import table


@dataclass(frozen=True)
class Price:
    """What one instance costs in one hour, storage excluded.

    Attributes:
        instance_type: Such as ``"ml.m5.large"``.
        component: ``"training"``, ``"processing"`` or ``"transform"``.
        region: AWS region.
        usd_per_hour: US dollars for one instance and hour, on demand.
        as_of: ISO date on which the source said so; empty if the source bears no date.
        source: Where the figure is from.
    """

    instance_type: str
    component: str
    region: str
    usd_per_hour: float
    as_of: str
    source: str


def list_price(instance_type: str, component: str, region: str) -> Price | None:
    """The list price, or ``None`` where none is known.

    Args:
        instance_type: Such as ``"ml.m5.large"``.
        component: ``"training"``, ``"processing"`` or ``"transform"``.
        region: AWS region.

    Returns:
        The price. ``None`` means unknown: a cost made of it is unknown too, never zero.

    Example:
        >>> list_price("ml.m5.large", "training", "us-east-1").usd_per_hour
        0.115
        >>> list_price("ml.m5.large", "training", "eu-central-1") is None
        True
    """
    return _prices().get((region, component, instance_type))


def list_cost(
    instance_type: str, component: str, region: str, *, instances: int, seconds: float | None
) -> float | None:
    """What instances cost at the list price, in US dollars.

    Args:
        instance_type: Such as ``"ml.m5.large"``.
        component: ``"training"``, ``"processing"`` or ``"transform"``.
        region: AWS region.
        instances: How many.
        seconds: Time paid for, of each; ``None`` while that is unknown.

    Returns:
        Dollars, storage excluded; ``None`` where price or time is unknown.

    Example:
        >>> list_cost("ml.m5.large", "training", "us-east-1", instances=2, seconds=1800)
        0.115
    """
    price = list_price(instance_type, component, region)
    if price is None or seconds is None:
        return None
    return round(price.usd_per_hour * instances * seconds / 3600, 6)


def dollars(usd: float) -> str:
    """An amount as it reads in every view: cents, and more digits below ten of them.

    Args:
        usd: US dollars.

    Example:
        >>> dollars(1234.5), dollars(0.0614), dollars(0.00031), dollars(0.000004), dollars(0)
        ('$1,234.50', '$0.061', '$0.0003', '<$0.0001', '$0.00')
    """
    if usd >= 0.1 or usd == 0:
        return f"${usd:,.2f}"
    if usd < 0.00005:
        return "<$0.0001"
    return f"${usd:.3f}" if usd >= 0.01 else f"${usd:.4f}"


@functools.cache
def _prices() -> dict[tuple[str, str, str], Price]:
    rows: list[tuple[str, str, str, float, str, str]] = table("prices")["rows"]
    return {
        (region, component, name): Price(name, component, region, usd, as_of, source)
        for region, component, name, usd, as_of, source in rows
    }
