"""The committed tables are what `scripts/generate_catalog.py` makes."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _needs_sagemaker() -> None:
    try:
        importlib.metadata.distribution("sagemaker-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the extra sagemaker")


@pytest.mark.parametrize("name", ["images", "instances"])
def test_committed_tables_are_what_the_script_makes(generate_catalog: Any, name: str) -> None:
    resource = importlib.resources.files("cdao_sdk.catalog") / f"{name}.json"
    committed = resource.read_text(encoding="utf-8")
    facts = json.loads(committed)
    made = getattr(generate_catalog, name)(as_of=facts["as_of"])
    # A newer release of a source that says the same is no difference.
    made["source"] = facts["source"]
    assert committed == generate_catalog.text(made)


def test_same_sources_make_the_same_table(generate_catalog: Any) -> None:
    once, again = (
        generate_catalog.text(generate_catalog.images(as_of="2026-11-24")) for _ in range(2)
    )
    assert once == again
