"""The table of SageMaker's requests, and docs/fields.md, are those of the installed botocore."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cdao_sdk.kinds.api_shapes import leaves, operations
from cdao_sdk.kinds.field_owners import OWNERS, owner
from cdao_sdk.kinds.registry import KINDS

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def generator() -> Any:
    path = ROOT / "scripts/generate_api_shapes.py"
    spec = importlib.util.spec_from_file_location("generate_api_shapes", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def rows(operation: str) -> dict[str, str]:
    """Field → what sets it, as the document says."""
    text = (ROOT / "docs/fields.md").read_text()
    block = text.split(f"<!-- {operation} -->")[1].split(f"<!-- end of {operation} -->")[0]
    return dict(ROW.findall(block))


def botocore_fields(shapes: dict[str, Any], name: str, path: str) -> set[str]:
    """Fields without parts, read from the model as botocore has it."""
    shape = shapes[name]
    if shape["type"] == "list" and shapes[shape["member"]["shape"]]["type"] == "structure":
        return botocore_fields(shapes, shape["member"]["shape"], f"{path}[]")
    if shape["type"] != "structure":
        return {path}
    return {
        field
        for member, item in shape["members"].items()
        for field in botocore_fields(shapes, item["shape"], f"{path}.{member}" if path else member)
    }


def test_operations_are_those_of_the_kinds() -> None:
    assert set(operations()) == set(OWNERS)
    used = {name for each in KINDS.values() for name in each.spec.api_operations}
    assert used <= set(OWNERS)


def test_shapes_are_those_of_botocore(generator: Any) -> None:
    kept = json.loads(generator.TABLE.read_text())
    assert kept == generator.api_table(), "run scripts/generate_api_shapes.py"


@pytest.mark.parametrize("operation", operations())
def test_every_field_has_a_row(operation: str, generator: Any) -> None:
    model = generator.botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    root = model["operations"][operation]["input"]["shape"]
    assert set(rows(operation)) == botocore_fields(model["shapes"], root, "")


def test_document_says_what_the_code_does(generator: Any) -> None:
    text = generator.DOCUMENT.read_text()
    assert text == generator.document(text), "run scripts/generate_api_shapes.py"


@pytest.mark.parametrize("operation", operations())
def test_owners_are_of_fields_that_exist(operation: str) -> None:
    fields = leaves(operation)
    unknown = [
        path
        for path in OWNERS[operation]
        if not any(field == path or field.startswith((f"{path}.", f"{path}[]")) for field in fields)
    ]
    assert unknown == []


def test_owners_name_options_that_exist() -> None:
    for each in KINDS.values():
        for operation in each.spec.api_operations:
            named = {name for one in OWNERS[operation].values() for name in one.options}
            assert named <= set(each.spec.model_fields)


def test_every_option_that_is_sent_is_named() -> None:
    """An option that no field names would be one that does nothing."""
    elsewhere = {
        "distribution",
        "extra",
        "fallback_instance_types",  # of which each becomes instance_type in its turn
        "processes_per_host",
        "runtime",
    }
    for each in KINDS.values():
        named = {
            word
            for operation in each.spec.api_operations
            for one in OWNERS[operation].values()
            for word in (*one.options, *re.findall(r"`(\w+)`", one.note))
        }
        assert set(each.spec.model_fields) - named <= elsewhere


def test_what_no_owner_has_is_left_to_extra() -> None:
    assert owner("CreateTrainingJob", "RemoteDebugConfig.EnableRemoteDebug") is None
    assert rows("CreateTrainingJob")["RemoteDebugConfig.EnableRemoteDebug"] == "`extra`"
