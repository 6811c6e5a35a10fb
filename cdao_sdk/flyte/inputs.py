"""A task's inputs: from Flyte's literals to the script runtime's encoded values.

The control plane reads no user type and no pickle: a value is turned by the literal's own shape.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import msgpack
from flytekit.models.core.types import BlobType
from flytekit.models.types import SimpleType
from google.protobuf.json_format import MessageToDict

from cdao_sdk.errors import PlanError
from cdao_sdk.kinds.job import DataSource

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from flytekit.models import literals as lit
    from flytekit.models import types as flyte_types

__all__ = ["InputEncoder", "holds", "parameter_type", "plain_value"]

_PICKLE_FORMAT = "PythonPickle"
MSGPACK = "msgpack"

SIMPLE_NAMES = {
    SimpleType.NONE: "none",
    SimpleType.INTEGER: "integer",
    SimpleType.FLOAT: "float",
    SimpleType.STRING: "string",
    SimpleType.BOOLEAN: "boolean",
    SimpleType.DATETIME: "datetime",
    SimpleType.DURATION: "duration",
    SimpleType.STRUCT: "struct",
    SimpleType.BINARY: "struct",
}


def parameter_type(literal_type: flyte_types.LiteralType) -> str:
    """The name of a literal type, as the job kinds know it."""
    if literal_type.blob is not None:
        if literal_type.blob.format == _PICKLE_FORMAT:
            return "pickle"
        multipart = BlobType.BlobDimensionality.MULTIPART
        return "directory" if literal_type.blob.dimensionality == multipart else "file"
    for name, part in (
        ("list", literal_type.collection_type),
        ("map", literal_type.map_value_type),
        ("dataframe", literal_type.structured_dataset_type or literal_type.schema),
        ("union", literal_type.union_type),
        ("string", literal_type.enum_type),
    ):
        if part is not None:
            if name == "union":
                return _optional_type(part)
            return name
    return SIMPLE_NAMES.get(literal_type.simple, "struct")


def _optional_type(union: flyte_types.UnionType) -> str:
    """``Optional[X]`` counts as X."""
    names = {parameter_type(variant) for variant in union.variants} - {"none"}
    return names.pop() if len(names) == 1 else "union"


def holds(literal_type: flyte_types.LiteralType, names: Collection[str]) -> bool:
    """Whether values of the type are, or contain, one of these ``parameter_type`` names."""
    parts = [literal_type.collection_type, literal_type.map_value_type]
    if literal_type.union_type is not None:
        parts += literal_type.union_type.variants
    inner = any(holds(part, names) for part in parts if part is not None)
    return inner or parameter_type(literal_type) in names


def plain_value(name: str, literal: lit.Literal) -> object:
    """A literal that needs no file, as a JSON value.

    Args:
        name: The input's name, for the error.
        literal: Its value.

    Raises:
        PlanError: The literal holds a file, a data frame or a pickle.
    """
    encoded = InputEncoder(input_root="/").encode(name, literal)
    return _strip(name, encoded)


def _strip(name: str, encoded: Mapping[str, object]) -> object:
    for tag in ("value", "datetime", "timedelta", "float"):
        if tag in encoded:
            return encoded[tag]
    if "list" in encoded:
        return [_strip(name, item) for item in cast("list[dict[str, object]]", encoded["list"])]
    if "map" in encoded:
        items = cast("dict[str, dict[str, object]]", encoded["map"])
        return {key: _strip(name, item) for key, item in items.items()}
    if "uri" in encoded:
        return encoded["uri"]
    msg = (
        f"Input {name!r} holds a pickled value (Any), which only the job itself may read: annotate"
        " it with its real type, such as dict or Dict[str, float]."
    )
    raise PlanError(msg)


@dataclass
class InputEncoder:
    """Encodes the inputs of one job, and gathers the channels and copies that they need.

    Attributes:
        input_root: Where channels lie in the container, such as ``"/opt/ml/input/data"``.
        channels: Channel's name → what feeds it.
        copies: Source URI → path below the ``cdao-job`` channel: pickles, their bytes unread.
    """

    input_root: str
    channels: dict[str, DataSource] = field(default_factory=dict[str, DataSource])
    copies: dict[str, str] = field(default_factory=dict[str, str])

    def encode(
        self, name: str, literal: lit.Literal, source: DataSource | None = None
    ) -> dict[str, object]:
        """One input as the script runtime reads it.

        Args:
            name: The input's name; its channel is named after it.
            literal: The value.
            source: Options of the channel, where the task named some; its ``uri`` is ignored.
        """
        if literal.scalar is not None:
            return self._scalar(name, literal.scalar, source)
        if literal.collection is not None:
            items = literal.collection.literals
            encoded = [self.encode(f"{name}-{index}", item) for index, item in enumerate(items)]
            if all(set(item) == {"value"} for item in encoded):
                return {"value": [item["value"] for item in encoded]}
            return {"list": encoded}
        if literal.map is not None:
            entries = {
                key: self.encode(f"{name}-{index}", item)
                for index, (key, item) in enumerate(literal.map.literals.items())
            }
            if all(set(item) == {"value"} for item in entries.values()):
                return {"value": {key: item["value"] for key, item in entries.items()}}
            return {"map": entries}
        msg = (
            f"Input {name!r} is too large for Flyte to hand it on by value: pass it as a FlyteFile"
            " or a data frame."
        )
        raise PlanError(msg)

    def _scalar(
        self, name: str, scalar: lit.Scalar, source: DataSource | None
    ) -> dict[str, object]:
        if scalar.primitive is not None:
            return _primitive(scalar.primitive)
        if scalar.union is not None:
            return self.encode(name, scalar.union.value, source)
        if scalar.binary is not None:
            return {"value": _from_msgpack(name, scalar.binary)}
        if scalar.generic is not None:
            return {"value": MessageToDict(scalar.generic)}
        if scalar.blob is not None:
            return self._blob(name, scalar.blob, source)
        if scalar.structured_dataset is not None:
            dataset = scalar.structured_dataset
            kind = dataset.metadata.structured_dataset_type if dataset.metadata else None
            return self._dataframe(
                name, dataset.uri, (kind.format if kind else "") or "parquet", source
            )
        if scalar.schema is not None:
            return self._dataframe(name, scalar.schema.uri, "parquet", source)
        return {"value": None}

    def _blob(self, name: str, blob: lit.Blob, source: DataSource | None) -> dict[str, object]:
        kind = blob.metadata.type
        if kind.format == _PICKLE_FORMAT:
            path = self.copies.setdefault(_s3(name, blob.uri), f"pickles/{len(self.copies)}")
            return {"pickle": f"{self.input_root}/cdao-job/{path}"}
        if kind.dimensionality == BlobType.BlobDimensionality.MULTIPART:
            uri = _s3(name, blob.uri).rstrip("/") + "/"
            return {"directory": self._channel(name, uri, source), "uri": blob.uri}
        uri = _s3(name, blob.uri)
        folder = self._channel(name, uri, source)
        return {"file": f"{folder}/{uri.rpartition('/')[2]}", "uri": uri}

    def _dataframe(
        self, name: str, uri: str, format_name: str, source: DataSource | None
    ) -> dict[str, object]:
        uri = _s3(name, uri)
        # A prefix without its slash would bring files/o1 and files/o10; a single file lies in the
        # channel's folder, and is then the frame's only part.
        is_file = "." in uri.rpartition("/")[2]
        folder = self._channel(name, uri if is_file else uri.rstrip("/") + "/", source)
        return {"dataframe": folder, "format": format_name.lower(), "uri": uri}

    def _channel(self, name: str, uri: str, source: DataSource | None) -> str:
        channel = name
        options = source or DataSource(uri)
        self.channels[channel] = DataSource(
            uri,
            content_type=options.content_type,
            input_mode=options.input_mode,
            data_type=options.data_type,
            compression=options.compression,
            distribution=options.distribution,
        )
        return f"{self.input_root}/{channel}"


def _s3(name: str, uri: str) -> str:
    if not uri.startswith("s3://"):
        msg = (
            f"Input {name!r} is {uri!r}, which SageMaker cannot read: give an s3:// URI, or a local"
            " file to `run()`, which uploads it."
        )
        raise PlanError(msg)
    return uri


def _primitive(primitive: lit.Primitive) -> dict[str, object]:
    value = primitive.value
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, timedelta):
        return {"timedelta": value.total_seconds()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return {"value": value}


def _from_msgpack(name: str, binary: lit.Binary) -> object:
    if binary.tag != MSGPACK:
        msg = f"Input {name!r} has the binary format {binary.tag!r}; only {MSGPACK!r} is known."
        raise PlanError(msg)
    try:
        value: object = msgpack.unpackb(binary.value, strict_map_key=False)
        json.dumps(value)
    except (TypeError, ValueError) as error:
        msg = f"Input {name!r} holds a value that is not JSON: {error}"
        raise PlanError(msg) from error
    return value
