"""Pages of SageMaker's lists: filters first, then order, then the page.

A token names the last item of its page, not a position: jobs that come meanwhile shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.local.errors import ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cdao_sdk.local.index_files import Entry
    from cdao_sdk.local.job_kinds import Order

    SortKey = tuple[str | float, str]

DEFAULT_PAGE = 10

_FILTERS: dict[str, Callable[[Entry, Any], bool]] = {
    "NameContains": lambda entry, text: text in entry.name,
    "StatusEquals": lambda entry, status: entry.status == status,
    "CreationTimeAfter": lambda entry, time: entry.created > time,
    "CreationTimeBefore": lambda entry, time: entry.created < time,
    "LastModifiedTimeAfter": lambda entry, time: entry.modified > time,
    "LastModifiedTimeBefore": lambda entry, time: entry.modified < time,
    # No local job has a warm pool or a training plan.
    "WarmPoolStatusEquals": lambda _entry, _status: False,
    "TrainingPlanArnEquals": lambda _entry, _arn: False,
}
_SORTS: dict[str, Callable[[Entry], SortKey]] = {
    "Name": lambda entry: (entry.name, entry.name),
    "Status": lambda entry: (entry.status, entry.name),
    "CreationTime": lambda entry: (entry.created, entry.name),
}


def page(
    entries: Iterable[Entry], request: Mapping[str, Any], *, order: Order
) -> tuple[list[Entry], str | None]:
    """One page of `entries` and the token of the next one.

    Args:
        entries: All there are.
        request: The List… request.
        order: SortOrder where the request names none.

    Raises:
        ValidationFailed: the token is not one of this list's.
    """
    wanted = [(_FILTERS[name], value) for name, value in request.items() if name in _FILTERS]
    found = [entry for entry in entries if all(holds(entry, value) for holds, value in wanted)]
    key = _SORTS[request.get("SortBy", "CreationTime")]
    descending = request.get("SortOrder", order) == "Descending"
    if request.get("NextToken"):
        last = _position(request["NextToken"])
        try:
            found = [one for one in found if (key(one) < last if descending else key(one) > last)]
        except TypeError as error:  # a token of another order
            raise _invalid_token() from error
    size = request.get("MaxResults", DEFAULT_PAGE)
    # The rest of ten thousand need no order.
    shown = (heapq.nlargest if descending else heapq.nsmallest)(size, found, key=key)
    return shown, _token(key(shown[-1])) if len(found) > len(shown) else None


def _token(position: SortKey) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(token: str) -> SortKey:
    try:
        value, name = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError) as error:
        raise _invalid_token() from error
    return cast("SortKey", (value, name))


def _invalid_token() -> ValidationFailed:
    return ValidationFailed("Invalid NextToken")
