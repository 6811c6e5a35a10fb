"""SageMaker's own rules for requests: types, required members, enums, patterns and limits.

The table is made from botocore's service model (``scripts/generate_api_shapes.py``); instance types
are left to the catalog of instances, since new ones come often.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.catalog.tables import table
from cdao_sdk.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Shape = Mapping[str, Any]

_SHOWN = 80
_NOUNS: Mapping[str, str] = {
    "structure": "a dict",
    "map": "a dict",
    "list": "a list",
    "string": "a str",
    "integer": "a whole number",
    "long": "a whole number",
    "boolean": "True or False",
}
_PYTHON: Mapping[str, type] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
}


class MemberRules:
    """What a walk asks about the members of structures, by dotted path such as ``A.B``.

    The plain rules leave everything to the shapes.
    """

    def refusal(self, path: str) -> str | None:
        """Why a member may not be given here; ``None`` if it may."""
        del path
        return None

    def missing(self, path: str) -> str | None:
        """What to say if a required member is not given; ``None`` if it need not be."""
        return f"{path} is missing"


def operations() -> tuple[str, ...]:
    """The operations that the table describes."""
    return tuple(table("sagemaker_api")["operations"])


def request_problems(
    operation: str, request: Mapping[str, object], rules: MemberRules | None = None
) -> Iterator[str]:
    """What SageMaker would refuse in a request, one sentence each.

    Args:
        operation: Such as ``"CreateTrainingJob"``.
        request: The request, or a part of it if ``rules`` forgive what is missing.
        rules: More to ask about members; default: all that is required must be there.

    Example:
        >>> list(request_problems("CreateModel", {"ModelName": "m", "Tag": []}))
        ["Tag is no field of CreateModel. Did you mean 'Tags'?"]
    """
    shape = table("sagemaker_api")["operations"][operation]
    return _structure(shape, request, "", rules or MemberRules(), operation)


def leaves(operation: str) -> tuple[str, ...]:
    """Every field of an operation's request that has no parts: ``InputDataConfig[].ChannelName``.

    Maps and lists of plain values count as one field.
    """
    return tuple(_leaves(table("sagemaker_api")["operations"][operation], ""))


def _shape(name: str) -> Shape:
    return cast("Shape", table("sagemaker_api")["shapes"][name])


def _leaves(name: str, path: str) -> Iterator[str]:
    shape = _shape(name)
    item = shape.get("member")
    if shape["type"] == "structure":
        for member, member_shape in shape["members"].items():
            yield from _leaves(member_shape, f"{path}.{member}" if path else member)
    elif item and _shape(item)["type"] == "structure":
        yield from _leaves(item, f"{path}[]")
    else:
        yield path


def _value(name: str, value: object, path: str, rules: MemberRules) -> Iterator[str]:
    shape = _shape(name)
    kind = shape["type"]
    is_number_like_bool = isinstance(value, bool) and kind != "boolean"
    if not isinstance(value, _PYTHON[kind]) or is_number_like_bool:
        must = f"it must be {_NOUNS[kind]}"
        yield (
            f"{path} is None; leave it out, or else {must}"
            if value is None
            else f"{path}={_shown(value)} is of type {type(value).__name__}; {must}"
        )
        return
    yield from _size(shape, value, path)
    walks: Mapping[str, Callable[[], Iterator[str]]] = {
        "structure": lambda: _structure(
            name, cast("Mapping[str, object]", value), path, rules, path
        ),
        "map": lambda: _map(shape, cast("Mapping[str, object]", value), path, rules),
        "list": lambda: _list(shape, cast("Sequence[object]", value), path, rules),
        "string": lambda: _string(shape, cast("str", value), path),
    }
    if kind in walks:
        yield from walks[kind]()


def _structure(
    name: str, value: Mapping[str, object], path: str, rules: MemberRules, owner: str
) -> Iterator[str]:
    shape = _shape(name)
    members: Mapping[str, str] = shape["members"]
    for member, item in value.items():
        here = f"{path}.{member}" if path else member
        if member not in members:
            yield f"{here} is no field of {owner}.{did_you_mean(member, members)}"
        elif (why := rules.refusal(here)) is not None:
            yield why
        else:
            yield from _value(members[member], item, here, rules)
    for member in shape.get("required", ()):
        if member not in value:
            said = rules.missing(f"{path}.{member}" if path else member)
            if said is not None:
                yield said


def _map(shape: Shape, value: Mapping[str, object], path: str, rules: MemberRules) -> Iterator[str]:
    for key, item in value.items():
        here = f"{path}[{key[:_SHOWN]!r}]"
        yield from _value(shape["key"], key, f"{here}: its name", rules)
        yield from _value(shape["value"], item, here, rules)


def _list(shape: Shape, value: Sequence[object], path: str, rules: MemberRules) -> Iterator[str]:
    for index, item in enumerate(value):
        yield from _value(shape["member"], item, f"{path}[{index}]", rules)


def _string(shape: Shape, value: str, path: str) -> Iterator[str]:
    enum, pattern = shape.get("enum"), shape.get("pattern")
    if enum and value not in enum:
        near = did_you_mean(value, enum)
        yield f"{path}={_shown(value)} is not one of {', '.join(map(repr, enum))}.{near}"
    elif pattern and not _compiled(pattern).fullmatch(value):
        yield f"{path}={_shown(value)} must match {pattern}"


def _size(shape: Shape, value: object, path: str) -> Iterator[str]:
    if isinstance(value, bool):
        return
    size = value if isinstance(value, int) else len(cast("str", value))
    unit = "" if isinstance(value, int) else " characters" if isinstance(value, str) else " entries"
    verb = "have" if unit else "be"
    if "min" in shape and size < shape["min"]:
        yield f"{path}={_shown(value)} must {verb} at least {shape['min']}{unit}"
    if "max" in shape and size > shape["max"]:
        yield f"{path}={_shown(value)} must {verb} at most {shape['max']}{unit}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
