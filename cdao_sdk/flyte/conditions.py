"""Which branch of a compiled ``conditional`` is taken, given its operands' literals."""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, cast

from flytekit.models.core.condition import ComparisonExpression, ConjunctionExpression

from cdao_sdk.errors import CdaoError, PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flytekit.core.condition import BranchNode
    from flytekit.core.node import Node
    from flytekit.models.core.condition import BooleanExpression, Operand
    from flytekit.models.core.workflow import IfBlock, IfElseBlock
    from flytekit.models.literals import Literal, Scalar

__all__ = ["branches", "taken"]

_Op = ComparisonExpression.Operator
_COMPARE: Mapping[int, Callable[[Any, Any], bool]] = {
    _Op.EQ: operator.eq,
    _Op.NEQ: operator.ne,
    _Op.GT: operator.gt,
    _Op.GTE: operator.ge,
    _Op.LT: operator.lt,
    _Op.LTE: operator.le,
}


def branches(branch: BranchNode) -> Iterator[Node]:
    """The node of each case, the last resort included."""
    block = _block(branch)
    for case in _cases(block):
        if case.then_node is not None:
            yield case.then_node
    if block.else_node is not None:
        yield block.else_node


def taken(branch: BranchNode, operands: Mapping[str, Literal]) -> Node:
    """The node of the first case that holds.

    Args:
        branch: The conditional.
        operands: Variable of its expressions → value.

    Raises:
        CdaoError: No case holds, and the conditional says ``fail(…)`` then.
        PlanError: An operand is no plain value.
    """
    block = _block(branch)
    for case in _cases(block):
        if _holds(case.condition, operands):
            return case.then_node
    if block.else_node is not None:
        return block.else_node
    msg = f"Conditional {branch.name!r} failed: {block.error.message if block.error else ''}"
    raise CdaoError(msg)


def _block(branch: BranchNode) -> IfElseBlock:
    return branch._ifelse_block  # noqa: SLF001 # flytekit offers no other way


def _cases(block: IfElseBlock) -> list[IfBlock]:
    return [block.case, *(block.other or [])]


def _holds(expression: BooleanExpression, operands: Mapping[str, Literal]) -> bool:
    joined = expression.conjunction
    if joined is not None:
        left = _holds(joined.left_expression, operands)
        right = _holds(joined.right_expression, operands)
        is_and = joined.operator == ConjunctionExpression.LogicalOperator.AND
        return (left and right) if is_and else (left or right)
    comparison = expression.comparison
    left = _value(comparison.left_value, operands)
    right = _value(comparison.right_value, operands)
    if (left is None or right is None) and comparison.operator not in (_Op.EQ, _Op.NEQ):
        msg = f"A conditional compares {left!r} with {right!r}: nothing is greater than None."
        raise PlanError(msg)
    return _COMPARE[comparison.operator](left, right)


def _value(operand: Operand, operands: Mapping[str, Literal]) -> object:
    if operand.primitive is not None:
        return cast("object", operand.primitive.value)
    if operand.scalar is not None:
        return _plain(operand.scalar)
    return _plain(operands[operand.var].scalar)


def _plain(scalar: Scalar | None) -> object:
    if scalar is not None and scalar.union is not None:
        return _plain(scalar.union.value.scalar)
    if scalar is not None and scalar.none_type is not None:
        return None
    if scalar is None or scalar.primitive is None:
        msg = "A conditional compares numbers, texts, booleans and times alone; this is another."
        raise PlanError(msg)
    return cast("object", scalar.primitive.value)
