"""Which types a task may declare: what flytekit, or the script runtime, cannot carry is refused.

flytekit tells some of this only when the task is called, and most of it without the parameter's
name (1.16.31, core/type_engine.py).
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import os
import types
import typing
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.type_engine import TypeEngine
from mashumaro.codecs.msgpack import MessagePackEncoder
from mashumaro.exceptions import UnserializableDataError, UnserializableField
from typing_extensions import is_typeddict

from cdao_sdk.errors import SpecError
from cdao_sdk.flyte.structures import PICKLE_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flytekit.models.core.types import BlobType
    from flytekit.models.types import LiteralType

__all__ = ["WORKING_TYPES", "check_types"]

WORKING_TYPES = (
    "What works: int, float, str, bool, datetime, date, timedelta, Enum of strings, Literal,"
    " Optional, Union, List[…], Dict[str, …], dict, dataclass, pydantic model, FlyteFile,"
    " FlyteDirectory, pandas DataFrame, StructuredDataset, numpy array; several outputs as a tuple"
    " or NamedTuple."
)

_PATHS: tuple[type, ...] = (os.PathLike,)
_UNIONS = (typing.Union, types.UnionType)


def check_types(body: Callable[..., object]) -> None:
    """Refuse parameters and results that cannot travel to or from a job of the script runtime.

    Args:
        body: The task's function.

    Raises:
        SpecError: All that do not fit, each with the mend.
    """
    hints = typing.get_type_hints(body, include_extras=True)
    parameters = inspect.signature(body).parameters
    problems = [
        f"parameter {name!r}: {problem}"
        for name in parameters
        if name in hints
        for problem in _problems(hints[name])
    ]
    for hint in _results(hints.get("return")):
        problems += [f"result: {problem}" for problem in _problems(hint)]
    if problems:
        msg = "types that cannot travel to or from a job"
        raise SpecError(msg, problems=[*problems, WORKING_TYPES])


def _results(hint: object) -> list[object]:
    """The outputs' types: the outermost tuple is no value, but several of them."""
    origin = typing.get_origin(hint) or hint
    if not (isinstance(origin, type) and issubclass(origin, tuple)):
        return [hint]
    if hasattr(origin, "_fields"):
        return list(typing.get_type_hints(origin, include_extras=True).values())
    return list(typing.get_args(hint)) or [hint]


def _problems(hint: Any) -> Iterator[str]:
    hint, args = _bare(hint), typing.get_args(_bare(hint))
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        if len({type(value) for value in args}) > 1:
            yield f"{_name(hint)} mixes types: give it values of one type"
    elif origin in _UNIONS or origin in (list, dict):
        yield from _container_problems(hint, origin, args)
    elif isinstance(origin, type):
        yield from _class_problems(hint, origin)


def _bare(hint: Any) -> Any:
    while hasattr(hint, "__metadata__"):
        hint = hint.__origin__
    return hint


def _container_problems(hint: Any, origin: Any, args: tuple[Any, ...]) -> Iterator[str]:
    if origin is list and not args:
        yield f"{_name(hint)} says nothing of its items: write List[int], or List[dict]"
        return
    if origin is dict and len(args) == 2 and args[0] is not str and _names_file(args[1]):
        yield f"{_name(hint)} has files below keys that are no strings: write Dict[str, …]"
        return
    for arg in args:
        yield from _problems(arg)


def _names_file(hint: Any) -> bool:
    inner = [_bare(hint), *map(_bare, typing.get_args(_bare(hint)))]
    return any(_is_path(part) for part in inner)


def _is_path(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, _PATHS)


def _class_problems(hint: Any, origin: type) -> Iterator[str]:
    name = _name(hint)
    if issubclass(origin, tuple):
        mend = "use List[…] or a dataclass"
        yield f"{name} is a tuple, which Flyte has only for several outputs: {mend}"
    elif is_typeddict(origin):
        yield f"{name} is a TypedDict, which Flyte cannot check: use a dataclass, or dict"
    elif issubclass(origin, enum.Enum):
        values = [member.value for member in origin if not isinstance(member.value, str)]
        if values:
            yield f"{name} has the value {values[0]!r}: Flyte takes enums of strings"
    elif dataclasses.is_dataclass(origin):
        yield from _dataclass_problems(hint)
    else:
        yield from _foreign_problems(hint, origin)


def _dataclass_problems(hint: Any) -> Iterator[str]:
    try:
        MessagePackEncoder(hint)  # as flytekit does it when the task is called
    except NameError:
        return  # a name that is known to type checkers only; flytekit says so when it is called
    except (UnserializableField, UnserializableDataError) as error:
        yield f"{_name(hint)} cannot be packed: {error}"


def _foreign_problems(hint: Any, origin: type) -> Iterator[str]:
    """Types that flytekit carries as files of a format which the script runtime does not know."""
    if _is_path(origin):
        return
    name = _name(hint)
    if origin in (collections.abc.Iterator, collections.abc.Generator):
        yield f"{name} is a stream, which only flytekit itself reads: use List[…] or a FlyteFile"
        return
    kind = _literal_type(hint)
    if kind is None:
        return
    root = origin.__module__.partition(".")[0]
    blob = cast("BlobType | None", kind.blob)
    if blob is not None and blob.format != PICKLE_FORMAT and root not in ("numpy", "flytekit"):
        yield (
            f"{name} travels in a format of flytekit's own ({blob.format}): use FlyteFile, and"
            " save and load it in the body; or runtime='flytekit'"
        )
    elif kind.structured_dataset_type is not None and root not in ("pandas", "flytekit"):
        yield f"{name}: use a pandas DataFrame or StructuredDataset, and convert it in the body"


def _literal_type(hint: Any) -> LiteralType | None:
    try:
        return cast("LiteralType", TypeEngine.to_literal_type(hint))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None  # flytekit says so itself, right after this


def _name(hint: Any) -> str:
    # On Python 3.10 list[int] is an instance of type.
    is_class = isinstance(hint, type) and not typing.get_args(hint)
    return hint.__name__ if is_class else str(hint).replace("typing.", "")
