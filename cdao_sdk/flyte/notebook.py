"""Functions of a notebook: one module with just what they need of the executed cells.

The latest definition of a name wins, as in the notebook itself. Imports, functions and classes go
in as they were written; variables only where their value is plain data.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import math
import symtable
import sys
from typing import TYPE_CHECKING, cast

from cdao_sdk.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["NOTEBOOK_MODULE", "notebook_source"]

NOTEBOOK_MODULE = "cdao_notebook"

# Cell magics that run the cell below them as it is.
_MAGICS_AROUND_PYTHON = ("capture", "prun", "time")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def notebook_source(functions: Iterable[Callable[..., object]]) -> str:
    """Source of a module that defines these functions.

    Args:
        functions: Functions that were defined in cells.

    Raises:
        PlanError: They were not typed into a notebook, or need a value that cannot travel.
    """
    main = vars(sys.modules["__main__"])
    cells = main.get("In")
    if not isinstance(cells, list):
        msg = (
            "These functions have no source file: define them in a file or a notebook, not in a"
            " plain interactive session."
        )
        raise PlanError(msg)
    return _Synthesis(_definitions(cast("Sequence[object]", cells)), main).source(
        [function.__name__ for function in functions]
    )


def _definitions(cells: Sequence[object]) -> dict[str, ast.stmt]:
    """Name → the last statement of any cell's top level that defines it."""
    found: dict[str, ast.stmt] = {}
    for cell in cells:
        for statement in _statements(str(cell)):
            for name in _defined_names(statement):
                found[name] = statement
    return found


def _statements(cell: str) -> list[ast.stmt]:
    """A cell's statements; a cell that Python refused defined nothing."""
    for text in (cell, _without_magics(cell)):
        with contextlib.suppress(SyntaxError):
            return [found for statement in ast.parse(text).body for found in _inside(statement)]
    return []


def _inside(statement: ast.stmt) -> list[ast.stmt]:
    """The statement, or those of the cell that it runs: ``In`` has magics as calls of IPython's."""
    match statement:
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(attr="run_cell_magic"),
                args=[ast.Constant(name), _, ast.Constant(str(cell))],
            )
        ):
            return _statements(cell) if name in _MAGICS_AROUND_PYTHON else []
        case _:
            return [statement]


def _without_magics(cell: str) -> str:
    kept = ["" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines()]
    return "" if cell.startswith("%%") else "\n".join(kept)


def _defined_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, _DEFINITIONS):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


class _Synthesis:
    def __init__(self, definitions: dict[str, ast.stmt], values: dict[str, object]) -> None:
        self._definitions = definitions
        self._values = values
        self._parts: dict[str, tuple[int, str]] = {}

    def source(self, names: Sequence[str]) -> str:
        for name in names:
            if name not in self._definitions:
                msg = (
                    f"{name} stands in none of the notebook's cells as they were run: run its cell"
                    " by itself, or define it in a .py file."
                )
                raise PlanError(msg)
            self._need(name, "")
        # Imports first, then values, then definitions in the order they need each other.
        ordered = sorted(self._parts.values(), key=lambda part: part[0])
        lines = dict.fromkeys(text for _, text in ordered)
        return "\n\n".join(lines) + "\n"

    def _need(self, name: str, user: str) -> None:
        if name in self._parts:
            return
        statement = self._definitions.get(name)
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._parts[name] = (0, ast.unparse(statement))
        elif isinstance(statement, _DEFINITIONS):
            self._parts[name] = (2, "")  # marks it as begun: definitions may need each other
            text = ast.unparse(statement)
            for needed in _global_names(text):
                self._need(needed, name)
            del self._parts[name]
            self._parts[name] = (2, text)
        elif name in self._values and (statement is not None or not hasattr(builtins, name)):
            self._parts[name] = (1, f"{name} = {_literal(name, self._values[name], user)}")


def _global_names(source: str) -> list[str]:
    """Names that a definition looks up in its module; a function's own variables are not among
    them."""
    found: dict[str, None] = {}
    tables = [symtable.symtable(source, "<notebook>", "exec")]
    while tables:
        table = tables.pop()
        at_top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (at_top or symbol.is_global()):
                found[symbol.get_name()] = None
        tables += table.get_children()
    return sorted(found)


def _literal(name: str, value: object, user: str) -> str:
    text = _text(value)
    if text is None:
        msg = (
            f"{user!r} uses the notebook's variable {name!r}, a {type(value).__name__}, which"
            " cannot travel into a job: pass it as an input, or make it inside the function."
        )
        raise PlanError(msg)
    return text


def _text(value: object) -> str | None:
    """Plain data as Python source; None for anything else."""
    if isinstance(value, float):  # also NumPy's, which are floats
        return f"float({float(value)!r})" if math.isfinite(value) else f"float('{float(value)}')"
    if value is None or type(value) in (bool, int, complex, str, bytes):
        return repr(value)
    if type(value) is dict:
        entries = cast("dict[object, object]", value).items()
        pairs = [(_text(key), _text(entry)) for key, entry in entries]
        plain = all(key is not None and entry is not None for key, entry in pairs)
        return "{" + ", ".join(f"{key}: {entry}" for key, entry in pairs) + "}" if plain else None
    if type(value) in (list, tuple, set):
        parts = [_text(item) for item in cast("Iterable[object]", value)]
        if None in parts:
            return None
        inner = "".join(f"{part}, " for part in parts)
        return f"{type(value).__name__}([{inner}])"
    return None
