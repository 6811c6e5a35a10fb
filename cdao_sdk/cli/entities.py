"""The workflow that a command line names, and its inputs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import traceback
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from cdao_sdk.errors import CdaoError, PlanError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

__all__ = [
    "Entity",
    "entities_in",
    "find_entity",
    "load_module",
    "merge_inputs",
    "parse_json_inputs",
]


class _Interface(Protocol):
    @property
    def inputs(self) -> Mapping[str, object]: ...


class Entity(Protocol):
    """What we use of a workflow, launch plan or task of flytekit, which ships no types."""

    @property
    def name(self) -> str: ...

    @property
    def python_interface(self) -> _Interface: ...


def load_module(target: str) -> ModuleType:
    """Import a file or a module of a package.

    The first folder above a file that is no package goes first on ``sys.path``, and the file is
    imported under its name from there, as ``pyflyte`` does; so jobs find it under the same name.

    Args:
        target: ``flow.py``, ``path/to/flow.py`` or ``package.module``.

    Raises:
        PlanError: There is no such file or module, it cannot be imported, or its name is taken.
    """
    if target.endswith(".py") or "/" in target:
        path = Path(target).expanduser().resolve()
        if not path.is_file():
            msg = f"{target!r}: there is no such file."
            raise PlanError(msg)
        name, root, topmost = _package_of(path)
        _check_name(topmost, root)
        sys.path.insert(0, str(root))
        return _import(name, target)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        is_there = importlib.util.find_spec(target) is not None
    except (ModuleNotFoundError, ValueError):
        is_there = False
    if not is_there:
        hint = " For a file write its .py too." if Path(f"{target}.py").is_file() else ""
        msg = f"{target!r}: there is no such module here or among the installed ones.{hint}"
        raise PlanError(msg)
    return _import(target, target)


def _package_of(path: Path) -> tuple[str, Path, Path]:
    """A file's module name, the folder that it counts from, and the file of its first part."""
    if "." in path.stem:
        msg = f"{path.name!r}: a module's name has no dot in it; rename the file."
        raise PlanError(msg)
    parts = [] if path.stem == "__init__" else [path.stem]
    root, topmost = path.parent, path
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root, topmost = root.parent, root / "__init__.py"
    return ".".join(parts) or path.stem, root, topmost


def _check_name(path: Path, root: Path) -> None:
    """Refuse a module or package that would hide another, or be hidden by one."""
    name = path.relative_to(root).parts[0].removesuffix(".py")
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    origin = spec.origin if spec is not None else None
    if (loaded is not None or origin) and (origin is None or Path(origin).resolve() != path):
        msg = (
            f"{str(path.relative_to(root))!r} has the name of another module"
            f" ({origin or 'built in'}), so that one would hide the other; rename the file."
        )
        raise PlanError(msg)


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except CdaoError:
        raise  # a decorator's own words
    except SystemExit as error:
        msg = (
            f"{target!r} ends the process when it is imported; put what runs under"
            " `if __name__ == '__main__':`."
        )
        raise PlanError(msg) from error
    except Exception as error:  # a user's module may raise anything
        place = _place_in_user_code(error)
        msg = f"{target!r} cannot be imported: {type(error).__name__}: {error}{place}"
        if isinstance(error, ImportError) and "relative import" in str(error):
            msg += " A file of a package is named as package.module."
        raise PlanError(msg) from error


def _place_in_user_code(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    return f" ({frames[0].filename}, line {frames[0].lineno})" if frames else ""


def entities_in(module: ModuleType) -> dict[str, Entity]:
    """Workflows, launch plans and tasks of a module, by their names in it."""
    return {
        key: cast("Entity", value)
        for key, value in vars(module).items()
        if hasattr(value, "python_interface") and not isinstance(value, type)
    }


def find_entity(module: ModuleType, name: str) -> Entity:
    """The workflow, launch plan or task of that name in a module.

    Raises:
        PlanError: There is none; the message lists those that are there.
    """
    found = getattr(module, name, None)
    if hasattr(found, "python_interface"):
        return cast("Entity", found)
    entities = entities_in(module)
    listed = ", ".join(sorted(entities)) or "none"
    what = "is neither a workflow nor a task" if found is not None else "is not in it"
    msg = (
        f"{name!r} {what}; workflows and tasks in {module.__name__}: {listed}."
        f"{did_you_mean(name, entities)}"
    )
    raise PlanError(msg)


def parse_json_inputs(text: str) -> dict[str, object]:
    """What ``--inputs`` says: a JSON object, or ``@file.json`` that holds one.

    Raises:
        PlanError: It is not a JSON object, or there is no such file.

    Example:
        >>> parse_json_inputs('{"depth": 6}')
        {'depth': 6}
    """
    source = "--inputs"
    if text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"--inputs {'@' + source!r}: the file cannot be read: {error}"
            raise PlanError(msg) from error
    try:
        document: object = json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"{source} is not JSON ({error}); write '{{\"name\": value}}' or @file.json."
        raise PlanError(msg) from error
    if not isinstance(document, dict):
        msg = (
            f"{source} is a JSON {type(document).__name__}; write an object: '{{\"name\": value}}'."
        )
        raise PlanError(msg)
    return cast("dict[str, object]", document)


def merge_inputs(
    document: Mapping[str, object], pairs: Sequence[str], entity: Entity
) -> dict[str, object]:
    """Inputs from ``--inputs`` and from each ``--input name=value``, which wins.

    A value is JSON where it can be read so, else a string; an input that takes strings gets
    what was typed.

    Raises:
        PlanError: A pair without ``=``.
    """
    hints = entity.python_interface.inputs
    merged = dict(document)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            msg = f"--input {pair!r}: write name=value."
            raise PlanError(msg)
        merged[name] = text if _takes_text(hints.get(name)) else _value(text)
    return merged


def _takes_text(hint: object) -> bool:
    """Whether a type is a string, or a union with one: what is typed may be meant as it stands."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _takes_text(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return any(map(_takes_text, typing.get_args(hint)))
    return hint is str


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
