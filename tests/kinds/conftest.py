"""A walker over botocore's service model: what SageMaker would refuse in a request."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import pytest

from cdao_sdk.kinds.job import DataSource, JobContext, ModelSource, RuntimeFiles
from cdao_sdk.local.rules import broken_rules

# Types that are newer than botocore are let through with a note: that is a feature.
_OPEN_ENUMS = {"TrainingInstanceType", "ProcessingInstanceType", "TransformInstanceType"}


@functools.cache
def service_model() -> dict[str, Any]:
    return botocore.loaders.Loader().load_service_model("sagemaker", "service-2")


def request_faults(operation: str, parameters: Mapping[str, object]) -> list[str]:
    """Everything in a request that breaks the service model."""
    shape = service_model()["operations"][operation]["input"]["shape"]
    return _faults(shape, parameters, operation)


def _faults(shape_name: str, value: Any, path: str) -> list[str]:
    shape = service_model()["shapes"][shape_name]
    kind = shape["type"]
    python: dict[str, Any] = {
        "structure": Mapping,
        "map": Mapping,
        "list": list,
        "string": str,
        "integer": int,
        "long": int,
        "boolean": bool,
    }
    if not isinstance(value, python[kind]) or (kind == "integer" and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {kind}"]
    children: dict[str, Callable[[], list[str]]] = {
        "structure": lambda: _structure(shape, value, path),
        "map": lambda: [
            fault
            for key, item in value.items()
            for fault in (
                *_faults(shape["key"]["shape"], key, f"{path} key"),
                *_faults(shape["value"]["shape"], item, f"{path}[{key}]"),
            )
        ],
        "list": lambda: [
            fault
            for index, item in enumerate(value)
            for fault in _faults(shape["member"]["shape"], item, f"{path}[{index}]")
        ],
        "string": lambda: _string(shape_name, shape, value, path),
    }
    return _size(shape, value, path) + children.get(kind, list)()


def _structure(shape: dict[str, Any], value: Mapping[str, object], path: str) -> list[str]:
    members = shape["members"]
    faults = [
        f"{path}.{name} is missing" for name in shape.get("required", []) if name not in value
    ]
    for name, item in value.items():
        if name in members:
            faults += _faults(members[name]["shape"], item, f"{path}.{name}")
        else:
            faults.append(f"{path}.{name} is unknown")
    return faults


def _string(name: str, shape: dict[str, Any], value: str, path: str) -> list[str]:
    if "enum" in shape and name not in _OPEN_ENUMS and value not in shape["enum"]:
        return [f"{path}: {value!r} is not in the enum"]
    pattern = _pattern(shape.get("pattern", r"[\s\S]*"))
    if pattern and not pattern.fullmatch(value):
        return [f"{path}: {value!r} does not match {pattern.pattern}"]
    return []


@functools.cache
def _pattern(java: str) -> re.Pattern[str] | None:
    try:
        return re.compile(java.replace(r"\p{Alnum}", "A-Za-z0-9"))
    except re.error:  # classes of Unicode, which Python's patterns do not have
        return None


def _size(shape: dict[str, Any], value: Any, path: str) -> list[str]:
    size = value if isinstance(value, int) else len(value)
    if size < shape.get("min", size) or size > shape.get("max", size):
        return [f"{path}: {size} is not in {shape.get('min')}..{shape.get('max')}"]
    return []


def botocore_faults(operation: str, parameters: Mapping[str, object]) -> list[str]:
    """What botocore itself would refuse before it sends anything."""
    shape = _client_model().operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    return [report.generate_report()] if report.has_errors() else []


@functools.cache
def _client_model() -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(service_model(), "sagemaker")


ROLE = "arn:aws:iam::123456789012:role/SageMakerExecutionRole"
RUNTIME = RuntimeFiles("s3://bucket/code/abc/", "s3://bucket/jobs/j1/")


def make_context(**changes: Any) -> JobContext:
    values: dict[str, Any] = {
        "job_name": "exec-n0-abcdefgh-0",
        "role_arn": ROLE,
        "region": "us-east-1",
        "output_uri": "s3://bucket/out/exec/n0",
        "channels": {"data": DataSource("s3://bucket/raw/dataset.csv")},
    }
    return JobContext(**{**values, **changes})


@pytest.fixture
def context() -> Callable[..., JobContext]:
    """Makes the context of a run without a body; keyword arguments replace its fields."""
    return make_context


@pytest.fixture
def runtime() -> RuntimeFiles:
    """Files of a job that runs the user's function."""
    return RUNTIME


@pytest.fixture
def transform_context() -> Callable[..., JobContext]:
    """Makes the context of a transform."""

    def make(**changes: Any) -> JobContext:
        image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.2-1"
        values: dict[str, Any] = {
            "channels": {"input": DataSource("s3://bucket/raw/test.csv")},
            "model": ModelSource("s3://bucket/out/model.tar.gz", image),
        }
        return make_context(**{**values, **changes})

    return make


@pytest.fixture
def faults() -> Callable[..., list[str]]:
    """Checks calls against botocore's service model."""

    def check(calls: Any) -> list[str]:
        return [
            fault
            for call in calls
            for fault in (
                *request_faults(call.operation, call.parameters),
                *broken_rules(call.operation, call.parameters),
                *botocore_faults(call.operation, call.parameters),
            )
        ]

    return check


@pytest.fixture
def model_enum() -> Callable[[str], list[str]]:
    """An enum of botocore's service model."""
    return lambda name: service_model()["shapes"][name]["enum"]
