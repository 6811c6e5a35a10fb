"""Lists: filters, sorting and tokens as FlyteAdmin reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from flyteidl.admin.common_pb2 import Sort

from flyte_double.refusals import invalid

Item = TypeVar("Item")
Row = Mapping[str, Any]
_FILTER = re.compile(r"(.+)\((.+),\s?(.+)\)")
_OPERATORS: dict[str, Callable[[str, list[str]], bool]] = {
    "eq": lambda value, given: value == given[0],
    "ne": lambda value, given: value != given[0],
    "gt": lambda value, given: value > given[0],
    "gte": lambda value, given: value >= given[0],
    "lt": lambda value, given: value < given[0],
    "lte": lambda value, given: value <= given[0],
    "contains": lambda value, given: given[0] in value,
    "value_in": lambda value, given: value in given,
    "value_not_in": lambda value, given: value not in given,
}


def page(items: Iterable[Item], request: Any, row: Callable[[Item], Row]) -> tuple[list[Item], str]:
    """The items of one page, and the token of the next one."""
    limit, token = request.limit, request.token
    if limit == 0:
        invalid("invalid value for limit")
    if token and not token.isdigit():
        invalid(f"invalid pagination token {token}")
    found = [item for item in items if _matches(row(item), request.filters)]
    if request.HasField("sort_by"):
        key = request.sort_by.key
        if found and key not in row(found[0]):
            invalid(f"invalid sort key '{key}'")
        # Times are compared to the microsecond; of two equal ones the later record comes last.
        numbered = list(enumerate(found))
        numbered.sort(
            key=lambda pair: (row(pair[1])[key], pair[0]),
            reverse=request.sort_by.direction == Sort.DESCENDING,
        )
        found = [item for _, item in numbered]
    offset = int(token or 0)
    chosen = found[offset : offset + limit]
    return chosen, str(offset + len(chosen)) if len(chosen) == limit else ""


def _matches(row: Row, filters: str) -> bool:
    for expression in filters.split("+") if filters else []:
        parts = _FILTER.fullmatch(expression)
        if parts is None or parts[1] not in _OPERATORS:
            invalid("invalid value for filters")
        field = parts[2]
        if field not in row:
            invalid(f"'{field}' is invalid filter")
        if not _OPERATORS[parts[1]](str(row[field]), parts[3].split(";")):
            return False
    return True
