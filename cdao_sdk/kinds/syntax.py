"""Whether the Python in an image is too old for the module that a task's function is in.

The job imports the whole module, so all of it counts. Only what certainly fails is named: syntax
that the older parser refuses, and annotations that the older Python cannot evaluate.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GENERICS = frozenset({"dict", "frozenset", "list", "set", "tuple", "type"})
_TYPES = _GENERICS | {"bool", "bytes", "complex", "float", "int", "str"}
_FIRST_THAT_SUBSCRIPTS = (3, 9)  # PEP 585: list[str]
_FIRST_THAT_UNITES = (3, 10)  # PEP 604: int | None
_FIRST_THAT_POSTPONES = (3, 7)  # PEP 563: from __future__ import annotations


def too_new_for(function: Callable[..., object], python: str) -> str | None:
    """What in a function's module an older Python cannot import.

    Args:
        function: The task's function.
        python: Minor version of Python in the image, such as ``"3.6"``.

    Returns:
        A phrase such as ``"line 12 needs Python 3.9: list[str]"``; ``None`` if nothing is known to
        fail, or the source cannot be read.
    """
    source = _source(function)
    return _first_too_new(source, python) if source else None


def _source(function: Callable[..., object]) -> str:
    unwrapped = inspect.unwrap(function)
    for owner in (inspect.getmodule(unwrapped), unwrapped):
        try:
            return textwrap.dedent(inspect.getsource(owner)) if owner else ""
        except (OSError, TypeError):
            continue  # a notebook has no module's file: then its function alone
    return ""


@functools.lru_cache(maxsize=64)
def _first_too_new(source: str, python: str) -> str | None:
    version = _version(python)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None  # a piece of an expression: nothing is known of it
    try:
        ast.parse(source, feature_version=version)
    except SyntaxError as error:
        # The parser tells of a match statement where it ends.
        matches = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Match)]
        line = min(matches) if matches and "Pattern matching" in error.msg else error.lineno
        return f"line {line}: {error.msg}"
    found = sorted(_too_new(tree, version))
    return found[0][1] if found else None


def _version(python: str) -> tuple[int, int]:
    major, minor = python.split(".")[:2]
    return int(major), int(minor)


def _too_new(tree: ast.Module, version: tuple[int, int]) -> Iterator[tuple[int, str]]:
    if version >= _FIRST_THAT_UNITES:
        return
    postponed = _postponing(tree)
    if postponed is not None and version < _FIRST_THAT_POSTPONES:
        text = f"line {postponed} needs Python 3.7: from __future__ import annotations"
        yield postponed, text
    for expression in _evaluated(tree, annotations=postponed is None):
        for node in ast.walk(expression):
            needs = _needs(node)
            if needs > version and isinstance(node, ast.expr):
                text = f"line {node.lineno} needs Python {needs[0]}.{needs[1]}: {ast.unparse(node)}"
                yield node.lineno, text


def _postponing(tree: ast.Module) -> int | None:
    """The line that postpones annotations."""
    lines = (
        statement.lineno
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        and statement.module == "__future__"
        and any(alias.name == "annotations" for alias in statement.names)
    )
    return next(lines, None)


def _evaluated(tree: ast.Module, *, annotations: bool) -> Iterator[ast.expr]:
    """Type expressions that an import evaluates: of signatures, fields, aliases and bases."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        statement = todo.pop()
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if annotations:
                    yield from _signature(statement)
            case ast.ClassDef():
                yield from statement.bases
                todo += statement.body
            case ast.AnnAssign(annotation=annotation):
                if annotations:
                    yield annotation
            case ast.Assign(value=ast.Subscript() as value):
                yield value
            case _:
                pass  # what stands below a condition may never be reached


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    arguments = function.args
    for argument in (
        *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
        *(arguments.vararg, arguments.kwarg),
    ):
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if function.returns is not None:
        yield function.returns


def _needs(node: ast.AST) -> tuple[int, int]:
    match node:
        case ast.Subscript(value=ast.Name(id=name)) if name in _GENERICS:
            return _FIRST_THAT_SUBSCRIPTS
        case ast.BinOp(left=left, op=ast.BitOr(), right=right) if _is_type(left) and _is_type(
            right
        ):
            return _FIRST_THAT_UNITES
        case _:
            return (3, 0)


def _is_type(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=None):
            return True
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
            return name in _TYPES
        case _:
            return False
