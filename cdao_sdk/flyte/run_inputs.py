"""What a caller gives to ``run()``, checked and turned into literals before anything is created."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flytekit.core.launch_plan import LaunchPlan
from flytekit.core.type_engine import TypeEngine
from flytekit.types.directory.types import FlyteDirectory
from flytekit.types.file.file import FlyteFile
from flytekit.utils.asyn import loop_manager

from cdao_sdk.errors import PlanError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flytekit import FlyteContext
    from flytekit.core.base_task import PythonTask
    from flytekit.core.workflow import WorkflowBase
    from flytekit.models.literals import Literal

__all__ = ["Entity", "Runnable", "input_literals", "launch_plan_literals"]

# Not TypeEngine.to_literal: it keeps the literals of equal values, so that a file which has changed
# since the last run, or which a plan has looked at, would never be uploaded (flytekit 1.16.31).
_to_literal = loop_manager.synced(TypeEngine.async_to_literal)
_TIMES = (datetime, date, timedelta)
_ANY: object = typing.Any  # from Python 3.11 on a class, yet nothing is an instance of it
_MOST_SHOWN = 200
Entity = typing.Union["WorkflowBase", "PythonTask", LaunchPlan]


class Runnable(typing.Protocol):
    """What ``run()`` takes: a workflow, launch plan or task.

    flytekit ships no types; all of its entities have a name, and no plain function has.
    """

    @property
    def name(self) -> str: ...


def input_literals(
    context: FlyteContext, entity: Entity, inputs: Mapping[str, object]
) -> dict[str, Literal]:
    """All inputs of an entity as literals, its defaults filled in.

    Args:
        context: Where local files are uploaded to.
        entity: Workflow, launch plan or task.
        inputs: What the caller gave: Python values, or JSON's for types that have none.

    Raises:
        PlanError: Unknown and missing names, and values of the wrong type, all at once.
    """
    given: dict[str, object] = {}
    fixed: Mapping[str, object] = {}
    if isinstance(entity, LaunchPlan):
        fixed = entity.fixed_inputs.literals
        given.update(entity.saved_inputs)
        entity = entity.workflow
    given.update(inputs)
    interface = entity.python_interface
    problems = [
        f"{name}={inputs[name]!r}: the launch plan has fixed this input."
        for name in inputs
        if name in fixed
    ]
    problems += [
        f"{name}={given[name]!r}: {entity.name} has no such input."
        + did_you_mean(name, interface.inputs)
        for name in given
        if name not in interface.inputs
    ]
    literals: dict[str, Literal] = {}
    for name, (python_type, default) in interface.inputs_with_defaults.items():
        value = given.get(name, default)
        if value is None and not _takes_none(python_type):
            problems.append(f"{name}: missing; give {_a(_type_name(python_type))}.")
            continue
        try:
            value = _from_json(value, python_type)
            literal_type = entity.interface.inputs[name].type
            literals[name] = _to_literal(context, value, python_type, literal_type)
        except Exception as error:  # noqa: BLE001 # flytekit's transformers raise of any class
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            problems.append(f"{name}={_shown(value)}: not {_a(_type_name(python_type))}: {reason}")
    if problems:
        msg = f"The inputs of {entity.name} do not fit."
        raise PlanError(msg, problems=problems)
    return literals


def launch_plan_literals(plan: LaunchPlan) -> dict[str, Literal]:
    """The inputs that a launch plan brings itself: its defaults, and what it has fixed."""
    parameters = plan.parameters.parameters
    defaults = {name: item.default for name, item in parameters.items() if item.default is not None}
    return {**defaults, **plan.fixed_inputs.literals}


def _shown(value: object) -> str:
    """A value on one line, no longer than an error needs."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _takes_none(python_type: object) -> bool:
    return python_type in (None, type(None)) or type(None) in typing.get_args(python_type)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def _type_name(python_type: object) -> str:
    return getattr(python_type, "__name__", None) or str(python_type).replace("typing.", "")


def _from_json(value: object, python_type: object) -> object:
    """A value as JSON can write it, as the type that was asked for."""
    origin, parts = typing.get_origin(python_type), typing.get_args(python_type)
    if origin is typing.Annotated:
        return _from_json(value, parts[0])
    if type(None) in parts:
        variants = [part for part in parts if part is not type(None)]
        single = len(variants) == 1 and value is not None
        return _from_json(value, variants[0]) if single else value
    if origin is list and isinstance(value, list):
        listed = enumerate(cast("list[object]", value))
        return [_part(item, parts[0], f"[{index}]") for index, item in listed]
    if origin is dict and isinstance(value, dict):
        items = cast("dict[object, object]", value)
        return {key: _part(item, parts[1], f"[{key!r}]") for key, item in items.items()}
    if python_type is _ANY or not inspect.isclass(python_type):
        return value
    return _of_class(value, python_type)


class _MisfitError(Exception):
    """A part of a value that does not fit: where it stands, such as ``[0].when``, and why."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


def _part(value: object, python_type: object, where: str) -> object:
    try:
        return _from_json(value, python_type)
    except _MisfitError as error:
        raise _MisfitError(where + error.where, error.reason) from error
    except Exception as error:
        raise _MisfitError(where, str(error) or type(error).__name__) from error


def _of_class(value: object, python_type: type) -> object:
    if issubclass(python_type, (FlyteFile, FlyteDirectory)):
        found = _existing(value)
        # Inside a dataclass flytekit warns of a plain string.
        return python_type(found) if isinstance(found, str) else found
    if isinstance(value, (str, int, float)) and python_type in _TIMES:
        return _time(value, python_type)
    if not isinstance(value, python_type) and issubclass(python_type, enum.Enum):
        return python_type(value)
    if isinstance(value, dict) and dataclasses.is_dataclass(python_type):
        return _dataclass(cast("dict[str, object]", value), python_type)
    if python_type in (int, str, bool, float) and not _is_a(value, python_type):
        msg = f"it is a {type(value).__name__}"
        raise TypeError(msg)
    return float(cast("float", value)) if python_type is float else value


def _time(value: float | str, python_type: type) -> object:
    """A point in time from ISO 8601, a duration from seconds; Python 3.10 does not read the Z."""
    if python_type is timedelta:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            msg = "write it as seconds, such as 90 or 0.5"
            raise TypeError(msg)
        return timedelta(seconds=value)
    if not isinstance(value, str):
        msg = "write it as text, such as '2026-01-31' or '2026-01-31T12:00:00Z'"
        raise TypeError(msg)
    text = f"{value[:-1]}+00:00" if value[-1:] in ("Z", "z") else value
    return date.fromisoformat(text) if python_type is date else datetime.fromisoformat(text)


def _dataclass(values: dict[str, object], python_type: type) -> object:
    hints = typing.get_type_hints(python_type)
    unknown = [name for name in values if name not in hints]
    if unknown:
        msg = f"it has no field {unknown[0]!r}.{did_you_mean(unknown[0], hints)}"
        raise TypeError(msg)
    return python_type(**{name: _part(v, hints[name], f".{name}") for name, v in values.items()})


def _is_a(value: object, python_type: type) -> bool:
    """bool is no int here, an int is a float: as in Flyte."""
    if isinstance(value, bool):
        return python_type is bool
    return isinstance(value, (int, float) if python_type is float else python_type)


def _existing(value: object) -> object:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str) and "://" not in value and not Path(value).expanduser().exists():
        msg = "there is no such file or folder"
        raise FileNotFoundError(msg)
    if isinstance(value, str) and "://" not in value:
        return str(Path(value).expanduser())
    return value
