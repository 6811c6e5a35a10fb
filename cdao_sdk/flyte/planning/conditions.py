"""A conditional's cases, in words."""

# flytekit ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from flytekit.models.core.condition import ComparisonExpression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flytekit.core.condition import BranchNode
    from flytekit.core.node import Node
    from flytekit.models.core.condition import BooleanExpression, Operand

__all__ = ["cases"]

_SIGNS = {
    ComparisonExpression.Operator.EQ: "==",
    ComparisonExpression.Operator.NEQ: "!=",
    ComparisonExpression.Operator.GT: ">",
    ComparisonExpression.Operator.GTE: ">=",
    ComparisonExpression.Operator.LT: "<",
    ComparisonExpression.Operator.LTE: "<=",
}


def cases(branch: BranchNode) -> Iterator[tuple[str, Node]]:
    """(condition, node) of each case of a conditional, ``else`` last."""
    block = branch._ifelse_block  # noqa: SLF001 # flytekit offers no other way
    for case in (block.case, *(block.other or ())):
        yield f"if {_words(case.condition)}", case.then_node
    if block.else_node is not None:
        yield "else", block.else_node


def _words(expression: BooleanExpression) -> str:
    comparison, both = expression.comparison, expression.conjunction
    if comparison is not None:
        left, right = _operand(comparison.left_value), _operand(comparison.right_value)
        return f"{left} {_SIGNS[comparison.operator]} {right}"
    sign = "and" if both.operator == both.LogicalOperator.AND else "or"
    return f"{_words(both.left_expression)} {sign} {_words(both.right_expression)}"


def _operand(operand: Operand) -> str:
    if operand.var:
        return str(operand.var).removeprefix(".")
    constant = operand.primitive or (operand.scalar.primitive if operand.scalar else None)
    return repr(constant.value) if constant is not None else "None"
