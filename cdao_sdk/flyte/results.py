"""A job's result: from the script runtime's encoded values to Flyte's literals.

A value becomes what the task's interface declares; nothing of the user's code is needed.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, cast

import msgpack
from flytekit.models import literals as lit
from flytekit.models.core.types import BlobType
from flytekit.models.literals import StructuredDatasetMetadata
from flytekit.models.types import SimpleType, StructuredDatasetType

from cdao_sdk.errors import JobFailed
from cdao_sdk.flyte.inputs import MSGPACK, SIMPLE_NAMES, parameter_type
from cdao_sdk.flyte.structures import plain, structure, structure_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flytekit.models import types as flyte_types

__all__ = ["ResultPlaces", "decode_outputs", "uri_literal"]


# Whoever may write to the bucket may have written what is read here.
_MALFORMED = (TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class ResultPlaces:
    """Where the files that a result names are.

    Attributes:
        result_uri: S3 prefix of the runner's ``result_dir``, without a trailing slash; or the
            archive that holds it.
        model_uri: The model artefact: ``…/model.tar.gz``, or a prefix if it is uncompressed.
        model_is_archive: Whether ``model_uri`` is an archive.
    """

    result_uri: str
    model_uri: str = ""
    model_is_archive: bool = True

    def locate(self, encoded: Mapping[str, object]) -> str:
        """The S3 URI of an encoded file, directory, data frame or path."""
        if "uri" in encoded:
            return str(encoded["uri"])
        if "model" in encoded:
            inner = str(encoded["model"])
            if self.model_is_archive or not inner:
                return self.model_uri
            return f"{self.model_uri.rstrip('/')}/{inner}"
        for tag in ("file", "directory", "dataframe", "path"):
            if tag in encoded:
                if self.result_uri.endswith(".tar.gz"):
                    return self.result_uri
                return f"{self.result_uri}/{encoded[tag]}".rstrip("/")
        msg = "it names no file where one is declared"
        raise ValueError(msg)


def decode_outputs(
    outputs: Mapping[str, object],
    interface: Mapping[str, flyte_types.LiteralType],
    places: ResultPlaces,
) -> lit.LiteralMap:
    """A job's ``outputs`` as literals of the declared types.

    Args:
        outputs: ``outputs.json``'s own ``outputs``.
        interface: Output's name → its declared type.
        places: Where files are.

    Raises:
        JobFailed: An output is missing or does not fit its declared type.
    """
    missing = [name for name in interface if name not in outputs]
    if missing:
        msg = f"The job's result lacks {', '.join(map(repr, missing))}."
        raise JobFailed(msg)
    literals: dict[str, lit.Literal] = {}
    for name, literal_type in interface.items():
        encoded = cast("dict[str, object]", outputs[name])
        try:
            literals[name] = _decode(name, encoded, literal_type, places)
        except _MALFORMED as error:
            msg = f"Output {name!r} of the job is malformed: {encoded!r:.200}: {error}"
            raise JobFailed(msg) from error
    return lit.LiteralMap(literals)


def uri_literal(uri: str, literal_type: flyte_types.LiteralType) -> lit.Literal:
    """A URI as a string, file, directory or data frame, as the interface declares it."""
    return _decode("o0", {"uri": uri, "value": uri}, literal_type, ResultPlaces(uri))


def _decode(
    name: str,
    encoded: Mapping[str, object],
    literal_type: flyte_types.LiteralType,
    places: ResultPlaces,
) -> lit.Literal:
    if literal_type.union_type is not None:
        return _decode_union(name, encoded, literal_type.union_type, places)
    if literal_type.blob is not None:
        blob = lit.Blob(lit.BlobMetadata(literal_type.blob), places.locate(encoded))
        return lit.Literal(scalar=lit.Scalar(blob=blob))
    if literal_type.structured_dataset_type is not None:
        return _dataset(encoded, literal_type.structured_dataset_type, places)
    if literal_type.collection_type is not None:
        items = _items(name, encoded)
        inner = literal_type.collection_type
        return lit.Literal(
            collection=lit.LiteralCollection([_decode(name, item, inner, places) for item in items])
        )
    if literal_type.map_value_type is not None:
        inner = literal_type.map_value_type
        entries = _entries(name, encoded)
        return lit.Literal(
            map=lit.LiteralMap({k: _decode(name, v, inner, places) for k, v in entries.items()})
        )
    if literal_type.enum_type is not None:
        value = plain(encoded, places.locate)
        if value not in literal_type.enum_type.values:
            raise _misfit(name, f"one of {literal_type.enum_type.values}", value)
        return _string(value)
    return _decode_simple(name, encoded, literal_type, places)


def _dataset(
    encoded: Mapping[str, object], declared: StructuredDatasetType, places: ResultPlaces
) -> lit.Literal:
    format_name = str(encoded.get("format") or declared.format or "parquet")
    kind = StructuredDatasetType(columns=declared.columns, format=format_name)
    metadata = StructuredDatasetMetadata(kind)
    dataset = lit.StructuredDataset(uri=places.locate(encoded), metadata=metadata)
    return lit.Literal(scalar=lit.Scalar(structured_dataset=dataset))


def _items(name: str, encoded: Mapping[str, object]) -> list[dict[str, object]]:
    if "list" in encoded:
        return cast("list[dict[str, object]]", encoded["list"])
    value = encoded.get("value")
    if not isinstance(value, list):
        raise _misfit(name, "a list", encoded)
    return [{"value": item} for item in cast("list[object]", value)]


def _entries(name: str, encoded: Mapping[str, object]) -> dict[str, dict[str, object]]:
    if "map" in encoded:
        return cast("dict[str, dict[str, object]]", encoded["map"])
    value = encoded.get("value")
    if not isinstance(value, dict):
        raise _misfit(name, "a dict", encoded)
    return {str(key): {"value": v} for key, v in cast("dict[str, object]", value).items()}


def _misfit(name: str, wanted: str, value: object) -> JobFailed:
    msg = f"Output {name!r} is declared as {wanted}, but the job returned {value!r:.200}."
    return JobFailed(msg)


def _string(value: object) -> lit.Literal:
    return lit.Literal(scalar=lit.Scalar(primitive=lit.Primitive(string_value=str(value))))


def _integer(value: object) -> lit.Primitive | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    whole = isinstance(value, int) or value.is_integer()
    return lit.Primitive(integer=int(value)) if whole and -(2**63) <= value < 2**63 else None


def _float(value: object) -> lit.Primitive | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return lit.Primitive(float_value=float(cast("float", value))) if number else None


def _boolean(value: object) -> lit.Primitive | None:
    return lit.Primitive(boolean=value) if isinstance(value, bool) else None


def _text(value: object) -> lit.Primitive | None:
    return lit.Primitive(string_value=value) if isinstance(value, str) else None


def _datetime(value: object) -> lit.Primitive | None:
    if not isinstance(value, datetime):
        return None
    return lit.Primitive(datetime=value if value.tzinfo else value.replace(tzinfo=timezone.utc))


def _duration(value: object) -> lit.Primitive | None:
    return lit.Primitive(duration=value) if isinstance(value, timedelta) else None


_PRIMITIVES: Mapping[int, Callable[[object], lit.Primitive | None]] = {
    SimpleType.INTEGER: _integer,
    SimpleType.FLOAT: _float,
    SimpleType.BOOLEAN: _boolean,
    SimpleType.STRING: _text,
    SimpleType.DATETIME: _datetime,
    SimpleType.DURATION: _duration,
}


def _decode_simple(
    name: str,
    encoded: Mapping[str, object],
    literal_type: flyte_types.LiteralType,
    places: ResultPlaces,
) -> lit.Literal:
    simple = literal_type.simple
    if simple == SimpleType.NONE:
        return lit.Literal(scalar=lit.Scalar(none_type=lit.Void()))
    if simple is not None and simple in _PRIMITIVES:
        value = plain(encoded, places.locate)
        primitive = _PRIMITIVES[simple](value)
        if primitive is None:
            too_large = " of 64 bits" if simple == SimpleType.INTEGER else ""
            raise _misfit(name, SIMPLE_NAMES[simple] + too_large, value)
        return lit.Literal(scalar=lit.Scalar(primitive=primitive))
    packed = cast("bytes", msgpack.packb(structure(encoded, literal_type, places.locate)))
    return lit.Literal(scalar=lit.Scalar(binary=lit.Binary(packed, MSGPACK)))


# JSON's own type → the variant of a union that is meant by it, before any that would also take it.
_MEANT: Mapping[type, int] = {
    bool: SimpleType.BOOLEAN,
    int: SimpleType.INTEGER,
    float: SimpleType.FLOAT,
    str: SimpleType.STRING,
    type(None): SimpleType.NONE,
}


def _decode_union(
    name: str, encoded: Mapping[str, object], union: flyte_types.UnionType, places: ResultPlaces
) -> lit.Literal:
    is_none = encoded.get("value", "") is None
    variants = cast("list[flyte_types.LiteralType]", union.variants)
    meant = [variant for variant in variants if _is_meant(encoded, variant)]
    for variant in meant + [variant for variant in variants if variant not in meant]:
        if is_none != (variant.simple == SimpleType.NONE):
            continue
        try:
            value = _decode(name, encoded, variant, places)
        except (JobFailed, *_MALFORMED):
            continue
        return lit.Literal(scalar=lit.Scalar(union=lit.Union(value, variant)))
    names = " or ".join(parameter_type(variant) for variant in variants)
    raise _misfit(name, names, encoded.get("value", dict(encoded)))


def _is_meant(encoded: Mapping[str, object], variant: flyte_types.LiteralType) -> bool:
    """Whether a variant of a union is the one for values that look like this."""
    value = encoded.get("value", encoded.get("list", encoded.get("map")))
    if isinstance(value, list):
        return variant.collection_type is not None
    if isinstance(value, dict):
        fields = structure_fields(variant)
        keys = cast("dict[str, object]", value).keys()
        is_struct = variant.simple == SimpleType.STRUCT and keys <= (fields.keys() or keys)
        return is_struct or variant.map_value_type is not None
    if "value" in encoded:
        return variant.simple == _MEANT.get(type(value))
    if "dataframe" in encoded:
        return variant.structured_dataset_type is not None
    if "file" in encoded or "directory" in encoded:
        dimensionality = BlobType.BlobDimensionality
        wanted = dimensionality.SINGLE if "file" in encoded else dimensionality.MULTIPART
        return variant.blob is not None and variant.blob.dimensionality == wanted
    return "uri" in encoded and (variant.blob or variant.structured_dataset_type) is not None
