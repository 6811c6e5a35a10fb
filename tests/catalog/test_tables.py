from __future__ import annotations

import datetime as dt
import json
import timeit
from importlib.resources import files

import pytest

from cdao_sdk.catalog.tables import table

TABLES = ["failures", "images", "instances", "prices", "support"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_source_and_date(name: str) -> None:
    assert table(name)["source"]
    assert dt.date.fromisoformat(table(name)["as_of"])


@pytest.mark.parametrize("name", TABLES)
def test_tables_load_in_two_milliseconds(name: str) -> None:
    content = (files("cdao_sdk.catalog") / f"{name}.json").read_bytes()
    assert min(timeit.repeat(lambda: json.loads(content), number=1, repeat=5)) < 2e-3


def test_tables_are_read_once() -> None:
    assert table("images") is table("images")
