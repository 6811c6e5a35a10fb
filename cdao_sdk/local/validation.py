"""Requests checked against the service model: every violation, worded as AWS words it."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdao_sdk.local.service_model import ServiceModel, Shape

_LONGEST_VALUE = 256


def violations(model: ServiceModel, operation: str, request: Mapping[str, object]) -> list[str]:
    """What breaks the constraints of the operation's input shape, in the model's order."""
    reference = model.operations[operation].get("input")
    return [*_of_shape(model, reference["shape"], request, "")] if reference else []


def detected(found: Sequence[str]) -> str:
    """AWS's sentence for a list of violations."""
    plural = "s" if len(found) > 1 else ""
    return f"{len(found)} validation error{plural} detected: {'; '.join(found)}"


def _of_shape(model: ServiceModel, name: str, value: object, path: str) -> Iterator[str]:
    shape = model.shapes[name]
    kind = shape["type"]
    if not _TYPES[kind](value):
        yield _violation(value, path, f"Member must be of type {kind}")
        return
    for constraint in _constraints(shape, value):
        yield _violation(value, path, constraint)
    if kind == "structure":
        yield from _of_structure(model, shape, cast("Mapping[str, object]", value), path)
    elif kind == "list" and "member" in shape:
        for number, item in enumerate(cast("Sequence[object]", value), start=1):
            yield from _of_shape(model, shape["member"]["shape"], item, f"{path}.{number}.member")
    elif kind == "map" and "key" in shape and "value" in shape:
        yield from _of_map(model, shape, cast("Mapping[str, object]", value), path)


def _of_structure(
    model: ServiceModel, shape: Shape, value: Mapping[str, object], path: str
) -> Iterator[str]:
    members = shape.get("members", {})
    given = {name: item for name, item in value.items() if item is not None}
    for name in shape.get("required", []):
        if name not in given:
            yield _violation(None, _join(path, name), "Member must not be null")
    for name, item in given.items():
        if name in members:
            yield from _of_shape(model, members[name]["shape"], item, _join(path, name))
        else:
            known = ", ".join(members)
            yield _violation(
                item, _join(path, name), f"Member must be one of the known parameters: [{known}]"
            )
    if shape.get("union") and len(given) != 1:
        yield _violation(value, path, f"Member must have exactly one of: [{', '.join(members)}]")


def _of_map(
    model: ServiceModel, shape: Shape, value: Mapping[str, object], path: str
) -> Iterator[str]:
    """A map's keys and plain values are judged together, as AWS does; nested values one by one."""
    parts = (
        ("keys", shape.get("key"), value.keys()),
        ("value", shape.get("value"), value.values()),
    )
    for what, reference, items in parts:
        if reference is None:
            continue
        inner = model.shapes[reference["shape"]]
        if inner["type"] in _NESTED:
            for key, item in value.items():
                yield from _of_shape(model, reference["shape"], item, f"{path}.{key}.member")
        elif any(_breaks(inner, item) for item in items):
            rules = ", ".join(_all_constraints(inner))
            yield _violation(value, path, f"Map {what} must satisfy constraint: [{rules}]")


def _breaks(shape: Shape, value: object) -> bool:
    return not _TYPES[shape["type"]](value) or any(True for _ in _constraints(shape, value))


def _constraints(shape: Shape, value: object) -> Iterator[str]:
    """The constraints of one shape that `value`, of its type, breaks."""
    allowed = shape.get("enum")
    if allowed and value not in allowed:
        yield _enum(allowed)
    if isinstance(value, (str, list, dict)):
        size, noun = len(cast("str", value)), "length"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        size, noun = value, "value"
    else:
        return
    if "max" in shape and size > shape["max"]:
        yield _limit(noun, "less", shape["max"])
    if "min" in shape and size < shape["min"]:
        yield _limit(noun, "greater", shape["min"])
    pattern = _pattern(shape.get("pattern", ""))
    if pattern and isinstance(value, str) and not pattern.fullmatch(value):
        yield _regular(shape.get("pattern", ""))


def _all_constraints(shape: Shape) -> Iterator[str]:
    if "max" in shape:
        yield _limit("length", "less", shape["max"])
    if "min" in shape:
        yield _limit("length", "greater", shape["min"])
    if "pattern" in shape:
        yield _regular(shape["pattern"])
    if "enum" in shape:
        yield _enum(shape["enum"])
    if shape["type"] != "string":
        yield f"Member must be of type {shape['type']}"


def _enum(allowed: Sequence[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def _limit(noun: str, direction: str, limit: float) -> str:
    return f"Member must have {noun} {direction} than or equal to {limit}"


def _regular(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _violation(value: object, path: str, constraint: str) -> str:
    return f"Value {_shown(value)}at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: object) -> str:
    if value is None:
        return "null "
    text = _java(value)
    if len(text) > _LONGEST_VALUE:
        text = f"{text[:_LONGEST_VALUE]}…"
    return f"'{text}' "


def _java(value: object) -> str:
    """A value as Java prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{name}={_java(item)}" for name, item in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_java(item) for item in cast("list[object]", value)) + "]"
    return str(value)


def _join(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


@functools.lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern compiled; None where it is absent or Java's own (`\\p{L}`, surrogate ranges)."""
    try:
        return re.compile(pattern) if pattern else None
    except re.error:
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


_TYPES: dict[str, Callable[[object], bool]] = {
    "blob": _is_string,
    "boolean": lambda value: isinstance(value, bool),
    "double": _is_number,
    "float": _is_number,
    "integer": _is_integer,
    "list": lambda value: isinstance(value, list),
    "long": _is_integer,
    "map": _is_mapping,
    "string": _is_string,
    "structure": _is_mapping,
    "timestamp": _is_number,
}
_NESTED = {"structure", "list", "map"}
