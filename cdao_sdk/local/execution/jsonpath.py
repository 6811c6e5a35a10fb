"""The JSONPath forms that a transform job's filters use, on CSV columns and JSON values.

Source: "Supported JSONPath operators" of the SageMaker developer guide; `..`, wildcards and filter
expressions are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from cdao_sdk.local.execution.context import JobFailed

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][\w-]*)
      | \[\s*(?P<slice>-?\d*\s*:\s*-?\d*)\s*\]
      | \[\s*(?P<numbers>-?\d+(?:\s*,\s*-?\d+)*)\s*\]
      | \[\s*(?P<names>'[^']*'(?:\s*,\s*'[^']*')*)\s*\]""",
    re.VERBOSE,
)


def compile_path(path: str) -> Callable[[object], object]:
    """A function that selects what `path` means of a value; ``$`` selects all of it.

    Raises:
        JobFailed: the path is not of a form that is offered here.
    """
    steps: list[Callable[[object], object]] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            break
        steps.append(_step(match))
        position = match.end()
    if not path.startswith("$") or position != len(path):
        msg = (
            f"ClientError: The JSONPath {path!r} is not offered by the embedded SageMaker; it "
            "knows $, $.name, $['a','b'], $[0], $[0,2], $[-1] and $[1:3]"
        )
        raise JobFailed(msg)

    def select(value: object) -> object:
        for step in steps:
            value = step(value)
        return value

    return select


def _step(match: re.Match[str]) -> Callable[[object], object]:
    if match["name"] is not None:
        return lambda value, name=match["name"]: _field(value, name)
    if match["slice"] is not None:
        start, stop = (int(part) if part.strip() else None for part in match["slice"].split(":"))
        return lambda value: _items(value)[start:stop]
    if match["numbers"] is not None:
        numbers = [int(number) for number in match["numbers"].split(",")]
        if len(numbers) == 1:
            return lambda value: _item(value, numbers[0])
        return lambda value: [_item(value, number) for number in numbers]
    names = re.findall(r"'([^']*)'", match["names"])
    if len(names) == 1:
        return lambda value: _field(value, names[0])
    return lambda value: {name: _field(value, name) for name in names}


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        msg = "ClientError: The JSONPath asks for elements of a record that is no list"
        raise JobFailed(msg)
    return cast("list[object]", value)


def _item(value: object, number: int) -> object:
    items = _items(value)
    if not -len(items) <= number < len(items):
        msg = f"ClientError: The JSONPath asks for element {number} of a record with {len(items)}"
        raise JobFailed(msg)
    return items[number]


def _field(value: object, name: str) -> object:
    if not isinstance(value, dict) or name not in value:
        msg = f"ClientError: The JSONPath asks for {name!r}, which a record lacks"
        raise JobFailed(msg)
    return cast("dict[str, object]", value)[name]
