from __future__ import annotations

import datetime as dt

import pytest

from cdao_sdk.catalog.instances import instance
from cdao_sdk.catalog.prices import list_price
from cdao_sdk.catalog.tables import table


@pytest.mark.parametrize(
    ("instance_type", "component", "usd", "as_of"),
    [
        ("ml.g5.2xlarge", "training", 1.515, "2026-08-20"),
        ("ml.m5.large", "training", 0.115, "2026-08-11"),
        ("ml.m5.xlarge", "training", 0.23, "2026-09-24"),
        ("ml.m5.xlarge", "processing", 0.23, "2026-09-24"),
        ("ml.g6.xlarge", "processing", 1.1267, "2026-09-24"),
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
        ("ml.m5.xlarge", "transform", "us-east-1"),
        ("ml.m5.large", "training", "eu-west-1"),
        ("ml.m99.large", "training", "us-east-1"),
    ],
)
def test_unlisted_prices_are_unknown(instance_type: str, component: str, region: str) -> None:
    assert list_price(instance_type, component, region) is None


def test_prices_differ_by_region() -> None:
    mumbai = list_price("ml.m5.xlarge", "training", "ap-south-1")
    assert mumbai is not None
    assert mumbai.usd_per_hour == 0.242


def test_every_price_is_for_an_instance_that_exists() -> None:
    rows = table("prices")["rows"]
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    for _, component, name, usd, as_of, source in rows:
        assert component in getattr(instance(name), "components", ())
        assert usd > 0
        assert source
        assert as_of == "" or dt.date.fromisoformat(as_of)
