"""A task's inputs: from Flyte's literals to the script runtime's encoded values.

The control plane reads no user type and no pickle: a value is turned by the literal's own shape.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import msgpack
from flytekit.models.core.types import BlobType
from flytekit.models.types import SimpleType
from google.protobuf.json_format import MessageToDict

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.input_files import InputFiles, s3_uri
from cdao_sdk.flyte.structures import (
    PICKLE_FORMAT,
    encode_structure,
    joined_list,
    joined_map,
    structure_fields,
)
from cdao_sdk.kinds.job import DataSource

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from flytekit.models import literals as lit
    from flytekit.models import types as flyte_types

__all__ = ["InputEncoder", "holds", "parameter_type", "plain_value"]

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
        if literal_type.blob.format == PICKLE_FORMAT:
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
    # flytekit pickles nothing inside a structure, whatever it says of a field's own type.
    unpickled = [name for name in names if name != "pickle"]
    fields = structure_fields(literal_type).values()
    return (
        inner or parameter_type(literal_type) in names or any(holds(f, unpickled) for f in fields)
    )


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
    for tag in ("value", "datetime", "timedelta", "float", "bytes"):
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
        manifest_root: S3 prefix for the manifests of channels, without a trailing slash.
        channels: Channel's name → what feeds it.
        copies: Source URI → path below the ``cdao-job`` channel: pickles, their bytes unread.
        objects: S3 URI → content: the manifests.
    """

    input_root: str
    manifest_root: str = ""
    channels: dict[str, DataSource] = field(default_factory=dict[str, DataSource])
    copies: dict[str, str] = field(default_factory=dict[str, str])
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def encode(
        self,
        name: str,
        literal: lit.Literal,
        source: DataSource | None = None,
        literal_type: flyte_types.LiteralType | None = None,
    ) -> dict[str, object]:
        """One input as the script runtime reads it.

        Args:
            name: The input's name; its channel is named after it.
            literal: The value.
            source: Options of the channel, where the task named some; its ``uri`` is ignored.
            literal_type: The declared type; it tells files inside structures from other values.

        Raises:
            PlanError: The value cannot be brought into the job.
        """
        files = InputFiles(name)
        encoded = self._encode(name, literal, literal_type, files)
        placement = files.place(self.input_root, source, self.manifest_root)
        self.channels.update(placement.channels)
        for channel, manifest in placement.manifests.items():
            self.objects[placement.channels[channel].uri] = manifest
        return encoded

    def _encode(
        self,
        name: str,
        literal: lit.Literal,
        kind: flyte_types.LiteralType | None,
        files: InputFiles,
    ) -> dict[str, object]:
        if literal.scalar is not None:
            return self._scalar(name, literal.scalar, kind, files)
        if literal.collection is not None:
            inner = kind.collection_type if kind is not None else None
            return joined_list(
                self._encode(name, item, inner, files) for item in literal.collection.literals
            )
        if literal.map is not None:
            inner = kind.map_value_type if kind is not None else None
            return joined_map(
                (key, self._encode(name, item, inner, files))
                for key, item in literal.map.literals.items()
            )
        msg = (
            f"Input {name!r} is too large for Flyte to hand it on by value: pass it as a FlyteFile"
            " or a data frame."
        )
        raise PlanError(msg)

    def _scalar(
        self,
        name: str,
        scalar: lit.Scalar,
        kind: flyte_types.LiteralType | None,
        files: InputFiles,
    ) -> dict[str, object]:
        if scalar.primitive is not None:
            return _primitive(scalar.primitive)
        if scalar.union is not None:
            return self._encode(name, scalar.union.value, scalar.union.stored_type, files)
        if scalar.binary is not None:
            return _structure(name, _from_msgpack(name, scalar.binary), kind, files)
        if scalar.generic is not None:
            return _structure(name, MessageToDict(scalar.generic), kind, files)
        if scalar.blob is not None:
            return self._blob(name, scalar.blob, files)
        if scalar.structured_dataset is not None:
            dataset = scalar.structured_dataset
            told = dataset.metadata.structured_dataset_type if dataset.metadata else None
            return files.dataframe(dataset.uri, (told.format if told else "") or "parquet")
        if scalar.schema is not None:
            return files.dataframe(scalar.schema.uri, "parquet")
        return {"value": None}

    def _blob(self, name: str, blob: lit.Blob, files: InputFiles) -> dict[str, object]:
        kind = blob.metadata.type
        if kind.format == PICKLE_FORMAT:
            path = self.copies.setdefault(s3_uri(name, blob.uri), f"pickles/{len(self.copies)}")
            return {"pickle": f"{self.input_root}/cdao-job/{path}"}
        if kind.dimensionality == BlobType.BlobDimensionality.MULTIPART:
            return files.directory(blob.uri)
        return files.file(blob.uri)


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
        return cast("object", msgpack.unpackb(binary.value, strict_map_key=False))
    except (TypeError, ValueError) as error:
        raise _no_json(name, error) from error


def _structure(
    name: str, value: object, kind: flyte_types.LiteralType | None, files: InputFiles
) -> dict[str, object]:
    try:
        return encode_structure(value, kind, files)
    except TypeError as error:
        raise _no_json(name, error) from error


def _no_json(name: str, error: Exception) -> PlanError:
    msg = f"Input {name!r} holds a value that is not JSON: {error}"
    return PlanError(msg)
