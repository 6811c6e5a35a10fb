"""Values inside structures (dicts, dataclasses, pydantic models), in both directions.

flytekit packs a structure as one value. A file in it is ``{"path": uri}``, a data frame
``{"uri": …, "file_format": …}``, and only the literal type tells them from a user's own dict
(flytekit 1.16.31: ``_serialize`` in types/file, types/directory and types/structured).
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, cast

from flytekit.models.core.types import BlobType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flytekit.models.types import LiteralType

__all__ = [
    "PICKLE_FORMAT",
    "FileSink",
    "encode_structure",
    "joined_list",
    "joined_map",
    "plain",
    "structure",
    "structure_fields",
]

PICKLE_FORMAT = "PythonPickle"

_FILE_TAGS = ("uri", "model", "file", "directory", "path")


class FileSink(Protocol):
    """Takes the files that a value names, and says how the script runtime finds them."""

    def file(self, uri: str) -> dict[str, object]:
        """A single object."""
        ...

    def directory(self, uri: str) -> dict[str, object]:
        """All objects below a prefix."""
        ...

    def dataframe(self, uri: str, format_name: str) -> dict[str, object]:
        """A data frame: an object, or a prefix of its parts."""
        ...


def structure_fields(literal_type: LiteralType | None) -> Mapping[str, LiteralType]:
    """The types of a dataclass's or pydantic model's fields; empty for any other type."""
    described = literal_type.structure if literal_type is not None else None
    if described is None or not described.dataclass_type:
        return {}
    return cast("Mapping[str, LiteralType]", described.dataclass_type)


# --- from a structure to the script runtime's encoded value ----------------------------------


def encode_structure(
    value: object, literal_type: LiteralType | None, sink: FileSink
) -> dict[str, object]:
    """A structure as the script runtime reads it.

    Args:
        value: The structure, as MessagePack or a protobuf struct holds it.
        literal_type: Its declared type; None where that is not known.
        sink: Takes the files in it.

    Raises:
        TypeError: It holds what is neither JSON, nor bytes, nor a file.
    """
    kind = _variant(value, literal_type)
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        if kind is not None and _is_file(entries, kind):
            return _file(entries, kind, sink)
        texts = {_text_key(key): key for key in entries}
        if len(texts) < len(entries):
            msg = f"two keys that are one in JSON, such as 1 and '1': {list(entries)!r:.100}"
            raise TypeError(msg)
        return joined_map(
            (text, encode_structure(entries[key], _part(kind, text), sink))
            for text, key in texts.items()
        )
    if isinstance(value, list):
        inner = kind.collection_type if kind is not None else None
        return joined_list(
            encode_structure(item, inner, sink) for item in cast("list[object]", value)
        )
    return _encode_leaf(value)


def _encode_leaf(value: object) -> dict[str, object]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    msg = f"a {type(value).__name__} is not JSON"
    raise TypeError(msg)


def joined_list(items: Iterable[dict[str, object]]) -> dict[str, object]:
    """A list of encoded values; one plain value where all of them are plain."""
    encoded = list(items)
    if all(set(item) == {"value"} for item in encoded):
        return {"value": [item["value"] for item in encoded]}
    return {"list": encoded}


def joined_map(items: Iterable[tuple[str, dict[str, object]]]) -> dict[str, object]:
    """A mapping of encoded values; one plain value where all of them are plain."""
    encoded = dict(items)
    if all(set(item) == {"value"} for item in encoded.values()):
        return {"value": {key: item["value"] for key, item in encoded.items()}}
    return {"map": encoded}


def _text_key(key: object) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    msg = f"a key that is a {type(key).__name__} is not JSON"
    raise TypeError(msg)


def _is_file(value: Mapping[object, object], kind: LiteralType) -> bool:
    if kind.structured_dataset_type is not None:
        return bool(value.get("uri")) and value.keys() <= {"uri", "file_format"}
    if kind.blob is None or kind.blob.format == PICKLE_FORMAT:
        return False
    return isinstance(value.get("path"), str) and value.keys() <= {"path", "metadata"}


def _file(value: Mapping[object, object], kind: LiteralType, sink: FileSink) -> dict[str, object]:
    if kind.structured_dataset_type is not None:
        return sink.dataframe(str(value["uri"]), str(value.get("file_format") or "parquet"))
    path = str(value["path"])
    return sink.directory(path) if _is_folder(kind) else sink.file(path)


def _is_folder(kind: LiteralType) -> bool:
    return bool(kind.blob.dimensionality == BlobType.BlobDimensionality.MULTIPART)


def _part(kind: LiteralType | None, key: str) -> LiteralType | None:
    """The type of a mapping's entry or of a dataclass's field."""
    if kind is None:
        return None
    if kind.map_value_type is not None:
        return cast("LiteralType", kind.map_value_type)
    return structure_fields(kind).get(key)


def _variant(value: object, kind: LiteralType | None) -> LiteralType | None:
    """Which type of a union a value is of, as far as files in it are concerned."""
    if kind is None or kind.union_type is None:
        return kind
    variants = cast("list[LiteralType]", kind.union_type.variants)
    if isinstance(value, list):
        return next((v for v in variants if v.collection_type is not None), None)
    if not isinstance(value, dict):
        return None
    entries = cast("dict[object, object]", value)
    files = (v for v in variants if _is_file(entries, v))
    records = (
        v for v in variants if structure_fields(v) and entries.keys() <= {*structure_fields(v)}
    )
    maps = (v for v in variants if v.map_value_type is not None)
    return next((v for group in (files, records, maps) for v in group), None)


# --- from the script runtime's encoded value to a structure ----------------------------------


def structure(
    encoded: Mapping[str, object],
    literal_type: LiteralType | None,
    locate: Callable[[Mapping[str, object]], str],
) -> object:
    """A structure as flytekit packs it.

    Args:
        encoded: What the job returned.
        literal_type: Its declared type; None where that is not known.
        locate: Gives the URI of an encoded file.

    Raises:
        TypeError: It is not as the script runtime encodes.
    """
    kind = _meant(encoded, literal_type)
    if kind is not None:
        if kind.structured_dataset_type is not None and _names_file(encoded, "dataframe"):
            format_name = str(encoded.get("format") or "parquet")
            return {"uri": locate(encoded), "file_format": format_name}
        if kind.blob is not None and _names_file(encoded, *_FILE_TAGS):
            return {"path": locate(encoded)}
    if "map" in encoded:
        entries = cast("dict[str, dict[str, object]]", encoded["map"])
        return {key: structure(item, _part(kind, key), locate) for key, item in entries.items()}
    if "list" in encoded:
        inner = kind.collection_type if kind is not None else None
        items = cast("list[dict[str, object]]", encoded["list"])
        return [structure(item, inner, locate) for item in items]
    found = plain(encoded, locate)
    # A moment or a span is in structures what flytekit makes of it there.
    if isinstance(found, datetime):
        return found.isoformat()
    return found.total_seconds() if isinstance(found, timedelta) else found


def _names_file(encoded: Mapping[str, object], *tags: str) -> bool:
    return any(tag in encoded for tag in ("uri", *tags))


def _meant(encoded: Mapping[str, object], kind: LiteralType | None) -> LiteralType | None:
    if kind is None or kind.union_type is None:
        return kind
    variants = cast("list[LiteralType]", kind.union_type.variants)
    if _names_file(encoded, "dataframe", *_FILE_TAGS):
        frames = [v for v in variants if v.structured_dataset_type is not None]
        blobs = [v for v in variants if v.blob is not None]
        is_frame = "dataframe" in encoded or "format" in encoded
        return next(iter([*frames, *blobs] if is_frame else [*blobs, *frames]), None)
    if "list" in encoded:
        return next((v for v in variants if v.collection_type is not None), None)
    if "map" not in encoded:
        return None
    keys = cast("dict[str, object]", encoded["map"]).keys()
    records = (v for v in variants if structure_fields(v) and keys <= structure_fields(v).keys())
    maps = (v for v in variants if v.map_value_type is not None)
    return next((v for group in (records, maps) for v in group), None)


def plain(encoded: Mapping[str, object], locate: Callable[[Mapping[str, object]], str]) -> object:
    """An encoded value without regard to its declared type; a file is its URI.

    Args:
        encoded: What the job returned.
        locate: Gives the URI of an encoded file.

    Raises:
        TypeError: It is not as the script runtime encodes.
        ValueError: So, too.
    """
    for tag, read in _PLAIN.items():
        if tag in encoded:
            return read(encoded[tag])
    if "list" in encoded:
        return [plain(item, locate) for item in cast("list[dict[str, object]]", encoded["list"])]
    if "map" in encoded:
        entries = cast("dict[str, dict[str, object]]", encoded["map"])
        return {key: plain(item, locate) for key, item in entries.items()}
    return locate(encoded)


_PLAIN: Mapping[str, Callable[[object], object]] = {
    "datetime": lambda value: datetime.fromisoformat(str(value)),
    "timedelta": lambda value: timedelta(seconds=float(cast("float", value))),
    "float": lambda value: float(str(value)),
    "bytes": lambda value: base64.b64decode(str(value), validate=True),
    "value": lambda value: value,
}
