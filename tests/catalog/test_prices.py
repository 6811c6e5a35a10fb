from __future__ import annotations

import pytest

from cdao_sdk.catalog.prices import list_price


@pytest.mark.parametrize(
    ("instance_type", "component", "usd", "as_of"),
    [
        ("ml.g5.2xlarge", "training", 1.515, "2026-08-20"),
        ("ml.m5.large", "training", 0.115, "2026-08-11"),
        ("ml.m5.xlarge", "training", 0.23, ""),
        ("ml.m5.large", "transform", 0.115, ""),
        ("ml.m5.2xlarge", "processing", 0.46, ""),
    ],
)
def test_listed_prices(instance_type: str, component: str, usd: float, as_of: str) -> None:
    price = list_price(instance_type, component, "us-east-1")
    assert price is not None
    assert (price.usd_per_hour, price.as_of) == (usd, as_of)
    assert price.source


@pytest.mark.parametrize(
    ("instance_type", "component", "region"),
    [
        ("ml.m5.large", "processing", "us-east-1"),
        ("ml.m5.large", "training", "eu-west-1"),
        ("ml.m99.large", "training", "us-east-1"),
    ],
)
def test_unlisted_prices_are_unknown(instance_type: str, component: str, region: str) -> None:
    assert list_price(instance_type, component, region) is None
