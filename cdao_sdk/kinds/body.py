"""Whether a task's function has a body worth running, and what a body means for a spec."""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from cdao_sdk.errors import SpecError
from cdao_sdk.kinds.extra import set_beside_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.kinds.spec import JobSpec

# What remains of a stub once it is compiled, on Python 3.10 to 3.12.
_STUB_INSTRUCTIONS = frozenset(
    (
        *("CACHE", "NOP", "POP_TOP", "RESUME", "RETURN_CONST", "RETURN_VALUE"),
        *("IMPORT_FROM", "IMPORT_NAME", "LOAD_CONST", "LOAD_FAST", "STORE_FAST"),
    )
)


def runs_body(spec: JobSpec, function: Callable[..., Any]) -> bool:
    """Whether the decorated function runs inside the job.

    Args:
        spec: The task's spec.
        function: The decorated function.

    Raises:
        SpecError: There is a body, but the job is an algorithm or a service that cannot run it, or
            ``extra`` starts the container in another way.
    """
    runs = spec.body_rule == "required"
    if not runs:
        stub = is_stub(function)
        if spec.body_rule == "stub" and not stub:
            raise SpecError(_body_in_vain(spec, function))
        runs = not stub
    if runs:
        _check_extra(spec, function)
    return runs


def _check_extra(spec: JobSpec, function: Callable[..., Any]) -> None:
    taken = set_beside_function(spec.extra)
    if taken:
        name = getattr(function, "__name__", "the function")
        msg = (
            f"extra sets {' and '.join(taken)}, but {name}() has a body, which only our own entry "
            "point runs. Leave that out of extra, or make the body a stub"
        )
        raise SpecError(msg)


def is_stub(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing but return a constant.

    A stub may have a docstring, ``...``, ``pass``, imports, names that stand for constants,
    ``return`` of a constant or of such a name, and ``raise NotImplementedError``.

    Args:
        function: Any function. Without its source, its bytecode is judged.
    """
    definition = _definition(function)
    if definition is None:
        return _is_stub_code(function)
    names: set[str] = set()
    return all(_is_idle(statement, names) for statement in definition.body)


def _definition(
    function: Callable[..., Any],
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        source = textwrap.dedent(inspect.getsource(function))
        statement = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None  # no file behind it, or a piece of an expression (a lambda)
    is_function = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
    return statement if is_function else None


def _is_idle(statement: ast.stmt, names: set[str]) -> bool:
    match statement:
        case ast.Pass() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=value):
            return _is_constant(value, names)
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case ast.Return(value=value):
            return value is None or _is_constant(value, names)
        case ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))):
            return name == "NotImplementedError"
        case _:
            return False
    if not _is_constant(value, names):
        return False
    names.add(name)
    return True


def _is_constant(value: ast.expr, names: set[str]) -> bool:
    match value:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.UnaryOp(operand=operand):
            return _is_constant(operand, names)
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return all(_is_constant(element, names) for element in elements)
        case ast.Dict(keys=keys, values=values):
            parts = [*keys, *values]
            return all(part is not None and _is_constant(part, names) for part in parts)
        case _:
            return False


def _is_stub_code(function: Callable[..., Any]) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return False
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return all(
        instruction.opname in _STUB_INSTRUCTIONS
        and not (instruction.opname == "LOAD_FAST" and instruction.argval in arguments)
        for instruction in dis.get_instructions(code)
    )


def _body_in_vain(spec: JobSpec, function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "the function")
    image_name = spec.image_name
    if spec.component == "training":
        runs = f"the built-in algorithm {image_name!r}, which runs no code of yours"
        mend = f"@sagemaker_training_task(framework={image_name!r}) runs it in the job"
        if image_name != "xgboost":
            mend = "@sagemaker_training_task(framework=…) and @sagemaker_processing_task run it"
    else:
        runs = "a service of SageMaker's, which runs no code of yours"
        mend = "@sagemaker_processing_task and @sagemaker_training_task(framework=…) run it"
    return (
        f"{name}() has a body, but this {spec.component} task is {runs}. {mend}; "
        "or make the body a stub: a docstring, '...' or 'return <constant>'"
    )
