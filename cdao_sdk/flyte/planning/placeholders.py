"""Values of which only a run will know more, and the readable literals that stand for them."""

# flytekit ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Union, cast

import msgpack
from flytekit.core.promise import Promise, resolve_attr_path_in_promise
from flytekit.models import literals as lit
from flytekit.models.core.types import BlobType
from flytekit.utils.asyn import loop_manager
from google.protobuf.struct_pb2 import Struct

from cdao_sdk.flyte.inputs import MSGPACK, parameter_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flytekit.models.types import LiteralType

__all__ = ["Unknown", "Value", "described", "elements", "literal", "member", "relocated"]


@dataclass(frozen=True)
class Unknown:
    """What a step will put out, or an input that was not given.

    Attributes:
        name: Output's or input's name.
        node: The step's node; empty for an input.
        path: Attributes and indexes within it.
        model_uri: Where the step's job leaves its model, if it trains one.
    """

    name: str
    node: str = ""
    path: tuple[str | int, ...] = ()
    model_uri: str = ""

    def __str__(self) -> str:
        inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        source = f"output {self.name}{inner} of {self.node}" if self.node else f"input {self.name}"
        return f"<{source}>"


# Lists and maps that mix known and unknown items stay Python's until a task takes them.
Value = Union[lit.Literal, Unknown, "list[Value]", "dict[str, Value]"]


def text_literal(text: str) -> lit.Literal:
    """A string."""
    return lit.Literal(scalar=lit.Scalar(primitive=lit.Primitive(string_value=text)))


def literal(value: Value, literal_type: LiteralType, *, is_place: bool = False) -> lit.Literal:
    """The literal that a task is given.

    Args:
        value: What is known.
        literal_type: What the task takes.
        is_place: Whether a string must be an S3 URI.
    """
    literal_type = _present(literal_type)
    if isinstance(value, lit.Literal):
        return value
    if isinstance(value, list):
        inner = cast("LiteralType", literal_type.collection_type)
        items = [literal(item, inner) for item in value]
        return lit.Literal(collection=lit.LiteralCollection(items))
    if isinstance(value, dict):
        inner = cast("LiteralType", literal_type.map_value_type)
        entries = {key: literal(item, inner) for key, item in value.items()}
        return lit.Literal(map=lit.LiteralMap(entries))
    return _placeholder(value, literal_type, is_place=is_place)


def _present(literal_type: LiteralType) -> LiteralType:
    """X of ``Optional[X]``."""
    if literal_type.union_type is None:
        return literal_type
    variants: list[LiteralType] = list(literal_type.union_type.variants)
    return next((v for v in variants if parameter_type(v) != "none"), variants[0])


def _placeholder(value: Unknown, literal_type: LiteralType, *, is_place: bool) -> lit.Literal:
    uri = f"s3://<bucket>/{value}"
    kind = parameter_type(literal_type)
    if kind in ("file", "directory", "pickle"):
        blob = literal_type.blob
        suffix = f".{blob.format}" if kind == "file" and blob.format.isalnum() else ""
        metadata = lit.BlobMetadata(BlobType(blob.format, blob.dimensionality))
        return lit.Literal(scalar=lit.Scalar(blob=lit.Blob(metadata, uri + suffix)))
    if kind == "dataframe":
        dataset = literal_type.structured_dataset_type
        metadata = lit.StructuredDatasetMetadata(dataset) if dataset else None
        return lit.Literal(
            scalar=lit.Scalar(structured_dataset=lit.StructuredDataset(uri, metadata))
        )
    if kind == "list":
        first = literal(replace(value, path=(*value.path, 0)), literal_type.collection_type)
        return lit.Literal(collection=lit.LiteralCollection([first]))
    if kind in ("map", "struct"):
        content = Struct()
        content.update({str(value): "known at run time"})
        return lit.Literal(scalar=lit.Scalar(generic=content))
    # Requests carry text alone, so a number's placeholder may be one, too.
    return text_literal(uri if is_place else str(value))


def member(value: Value, path: Sequence[str | int]) -> Value:
    """What lies at an attribute path, such as ``result.model``."""
    if not path:
        return value
    if isinstance(value, Unknown):
        return replace(value, path=(*value.path, *path))
    if isinstance(value, list):
        return member(value[cast("int", path[0])], path[1:])
    if isinstance(value, dict):
        return member(value[cast("str", path[0])], path[1:])
    promise = Promise("plan", value)
    promise._attr_path = list(path)  # noqa: SLF001 # flytekit offers no other way
    return cast("Promise", loop_manager.run_sync(resolve_attr_path_in_promise, promise)).val


def elements(value: Value) -> list[Value] | None:
    """The items of a list; None if a run will know them."""
    if isinstance(value, list):
        return value
    if isinstance(value, (Unknown, dict)) or value.collection is None:
        return None
    return list(value.collection.literals)


def relocated(literal: lit.Literal, old: str, new: str) -> lit.Literal:
    """A literal whose URIs below ``old`` lie below ``new``."""
    message = literal.to_flyte_idl()
    text = message.SerializeToString()
    if old.encode() not in text:
        return literal
    _relocate(message, old, new)
    return lit.Literal.from_flyte_idl(message)


def _relocate(message: object, old: str, new: str) -> None:
    """Change every text in a protobuf message, those inside packed dataclasses too."""
    for field, value in list(message.ListFields()):  # type: ignore[attr-defined] # any message
        if isinstance(value, str):
            setattr(message, field.name, _moved(value, old, new))
        elif isinstance(value, bytes) and getattr(message, "tag", "") == MSGPACK:
            moved = _moved(msgpack.unpackb(value, strict_map_key=False), old, new)
            setattr(message, field.name, msgpack.packb(moved))
        elif field.message_type is not None:
            for part in _messages(value):
                _relocate(part, old, new)


def _moved(value: object, old: str, new: str) -> object:
    if isinstance(value, str):
        return new + value[len(old) :] if value.startswith(old) else value
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        return {key: _moved(item, old, new) for key, item in items.items()}
    if isinstance(value, list):
        return [_moved(item, old, new) for item in cast("list[object]", value)]
    return value


def _messages(value: object) -> list[object]:
    """The messages in a field: one, a list of them, or a map's values."""
    if hasattr(value, "ListFields"):
        return [value]
    if hasattr(value, "values"):
        items = list(cast("Mapping[str, object]", value).values())
    else:
        items = list(cast("Sequence[object]", value))
    return [item for item in items if hasattr(item, "ListFields")]


def described(value: Value, most: int = 60) -> str:
    """A value in few words."""
    text = _words(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _words(value: Value) -> str:
    if isinstance(value, Unknown):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_words(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_words(item)}' for key, item in value.items())}}}"
    if value.collection is not None:
        return _words(list(value.collection.literals))
    if value.map is not None:
        return _words(dict(value.map.literals))
    return _scalar_words(value.scalar)


def _scalar_words(scalar: lit.Scalar | None) -> str:
    if scalar is None:
        return "…"
    if scalar.primitive is not None:
        return str(scalar.primitive.value)
    if scalar.union is not None:
        return _words(scalar.union.value)
    for part in (scalar.blob, scalar.structured_dataset, scalar.schema):
        if part is not None:
            return str(part.uri)
    return "None" if scalar.none_type is not None else "{…}"
