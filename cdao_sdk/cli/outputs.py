"""What a workflow returned, as JSON and as words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["plain_outputs", "readable"]


def plain_outputs(outputs: Mapping[str, object]) -> dict[str, JsonValue]:
    """Outputs as JSON writes them; files and tables as where they lie, nothing is downloaded."""
    return {name: _plain(value) for name, value in outputs.items()}


def readable(values: Mapping[str, JsonValue], indent: str = "") -> list[str]:
    """A line for each value; a dict's entries stand below its name.

    Example:
        >>> readable({"metrics": {"auc": 0.78}, "uri": "s3://bucket/report"})
        ['metrics:', '  auc = 0.78', 'uri = s3://bucket/report']
    """
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *readable(value, f"{indent}  ")]
        else:
            words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{indent}{name} = {words}")
    return lines


def _plain(value: object) -> JsonValue:
    if isinstance(value, Enum):
        return _plain(cast("object", value.value))
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        return value.isoformat()
    place = _place(value)
    return place if place is not None else _plain_structure(value)


def _place(value: object) -> str | None:
    """Where a file, folder or table of Flyte lies."""
    for attribute in ("remote_source", "uri", "path"):
        place = getattr(value, attribute, None)
        if place and isinstance(place, str):
            return place
    return None


def _plain_structure(value: object) -> JsonValue:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        return {str(key): _plain(entry) for key, entry in entries.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(entry) for entry in cast("Sequence[object]", value)]
    return repr(value)
