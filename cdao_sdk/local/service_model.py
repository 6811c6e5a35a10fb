"""SageMaker's service model as botocore ships it: operations and the shapes of what they take.

The file is read without importing botocore, which takes three times as long as the reading.
"""

from __future__ import annotations

import functools
import gzip
import json
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reference(TypedDict):
    """Where a shape is used: by its name."""

    shape: str


class _Type(TypedDict):
    type: str


class Shape(_Type, total=False):
    """A type of the model, with its constraints."""

    required: list[str]
    members: dict[str, Reference]
    member: Reference
    key: Reference
    value: Reference
    enum: list[str]
    min: float
    max: float
    pattern: str
    union: bool


class Operation(TypedDict, total=False):
    """One call of the API."""

    input: Reference
    output: Reference


@dataclass(frozen=True)
class ServiceModel:
    """Operations and shapes of one service."""

    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]

    def output_members(self, operation: str) -> Mapping[str, Reference]:
        """What the operation answers with, by name."""
        reference = self.operations[operation].get("output")
        return self.shapes[reference["shape"]].get("members", {}) if reference else {}


_reading = threading.Lock()


def sagemaker_model() -> ServiceModel:
    """SageMaker's model; read at the first call (some 70 ms), from any thread."""
    with _reading:
        return _read()


@functools.cache
def _read() -> ServiceModel:
    spec = find_spec("botocore")
    if spec is None or spec.origin is None:
        msg = "botocore is not installed: the embedded SageMaker checks requests against its model"
        raise ModuleNotFoundError(msg)
    versions = (Path(spec.origin).parent / "data" / "sagemaker").glob("*/service-2.json*")
    file = max(versions, key=lambda path: path.parent.name)
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rb") as stream:
        document = cast("dict[str, dict[str, object]]", json.loads(stream.read()))
    return ServiceModel(
        operations=cast("Mapping[str, Operation]", document["operations"]),
        shapes=cast("Mapping[str, Shape]", document["shapes"]),
    )
