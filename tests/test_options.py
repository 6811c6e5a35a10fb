"""What editors offer is what the specs take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from flytekit import task, workflow

from cdao_sdk import _options
from cdao_sdk.decorators import FLYTE_OPTIONS, WORKFLOW_OPTIONS
from cdao_sdk.flyte.task import HANDLERS
from cdao_sdk.kinds.registry import KINDS

ALIASES = {"image_uri", "role"}


@pytest.mark.parametrize(
    ("kind", "options", "more"),
    [
        ("training", _options.TrainingOptions, set(HANDLERS)),
        ("processing", _options.ProcessingOptions, set()),
        ("transform", _options.TransformOptions, set()),
    ],
)
def test_options_are_the_specs_fields(kind: str, options: Any, more: set[str]) -> None:
    fields = set(KINDS[kind].spec.model_fields)
    assert set(options.__annotations__) == fields | ALIASES | FLYTE_OPTIONS | more


def test_flytes_options_are_flytekits() -> None:
    assert set(_options.FlyteOptions.__annotations__) == FLYTE_OPTIONS
    # Older spellings that flytekit takes by **kwargs; test_decorators shows that they arrive.
    older = {"cache_ignore_input_vars", "cache_serialize", "cache_version"}
    assert set(inspect.signature(task).parameters) >= FLYTE_OPTIONS - older
    assert set(_options.WorkflowOptions.__annotations__) == WORKFLOW_OPTIONS
    assert set(inspect.signature(workflow).parameters) >= WORKFLOW_OPTIONS
