"""Values that flow between nodes: bindings, attribute paths, conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import msgpack
from flyteidl.core import condition_pb2, literals_pb2
from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from flyteidl.core.types_pb2 import OutputReference

Literals = Mapping[str, literals_pb2.Literal]
Resolve = Callable[["OutputReference"], literals_pb2.Literal]


class BadBinding(Exception):
    """A binding or condition that cannot be resolved."""


def resolve(binding: literals_pb2.BindingData, find: Resolve) -> literals_pb2.Literal:
    """The literal that a binding stands for."""
    kind = binding.WhichOneof("value")
    literal = literals_pb2.Literal()
    if kind == "collection":
        literal.collection.literals.extend(
            resolve(item, find) for item in binding.collection.bindings
        )
        literal.collection.SetInParent()
    elif kind == "map":
        literal.map.SetInParent()
        for key, item in binding.map.bindings.items():
            literal.map.literals[key].CopyFrom(resolve(item, find))
    elif kind == "promise":
        return _attribute(find(binding.promise), list(binding.promise.attr_path))
    elif kind == "scalar":
        literal.scalar.CopyFrom(binding.scalar)
    return literal


def _attribute(literal: literals_pb2.Literal, path: list[Any]) -> literals_pb2.Literal:
    while path and literal.WhichOneof("value") in ("map", "collection"):
        step = path.pop(0)
        try:
            if literal.HasField("map"):
                if step.string_value not in literal.map.literals:
                    raise KeyError(step.string_value)
                literal = literal.map.literals[step.string_value]
            else:
                literal = literal.collection.literals[step.int_value]
        except LookupError as error:
            raise BadBinding(f"PromiseAttributeResolveError: {error}") from error
    if not path:
        return literal
    if literal.scalar.HasField("binary"):
        value: Any = msgpack.unpackb(literal.scalar.binary.value, strict_map_key=False)
    else:
        value = MessageToDict(literal.scalar.generic)
    for step in path:
        try:
            value = value[getattr(step, step.WhichOneof("value"))]
        except LookupError as error:
            raise BadBinding(f"PromiseAttributeResolveError: {error}") from error
    return _literal(value)


def _literal(value: Any) -> literals_pb2.Literal:
    literal = literals_pb2.Literal()
    primitive = literal.scalar.primitive
    if isinstance(value, bool):
        primitive.boolean = value
    elif isinstance(value, int):
        primitive.integer = value
    elif isinstance(value, float):
        primitive.float_value = value
    elif isinstance(value, str):
        primitive.string_value = value
    elif isinstance(value, list):
        literal.collection.SetInParent()
        literal.collection.literals.extend(_literal(item) for item in value)
    else:
        literal.scalar.binary.value = msgpack.packb(value)
        literal.scalar.binary.tag = "msgpack"
    return literal


Comparison = condition_pb2.ComparisonExpression
_COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    Comparison.EQ: lambda left, right: left == right,
    Comparison.NEQ: lambda left, right: left != right,
    Comparison.GT: lambda left, right: left > right,
    Comparison.GTE: lambda left, right: left >= right,
    Comparison.LT: lambda left, right: left < right,
    Comparison.LTE: lambda left, right: left <= right,
}


def holds(expression: condition_pb2.BooleanExpression, inputs: Literals) -> bool:
    """Whether a condition of a branch node is true."""
    if expression.HasField("conjunction"):
        both = expression.conjunction
        left, right = (
            holds(side, inputs) for side in (both.left_expression, both.right_expression)
        )
        is_or = both.operator == condition_pb2.ConjunctionExpression.OR
        return left or right if is_or else left and right
    comparison = expression.comparison
    left, right = (
        _operand(side, inputs) for side in (comparison.left_value, comparison.right_value)
    )
    if left[0] != right[0]:
        _malformed(
            f"Comparison between different primitives types. lVal[{left[0]}]:rVal[{right[0]}]"
        )
    return _COMPARE[comparison.operator](left[1], right[1])


def _operand(side: condition_pb2.Operand, inputs: Literals) -> tuple[str, Any]:
    primitive = side.primitive
    if not side.HasField("primitive"):
        name = side.var
        if side.HasField("scalar"):
            primitive = side.scalar.primitive
        elif name not in inputs:
            _malformed(f"Failed to find Value for Variable [{name}]")
        else:
            primitive = inputs[name].scalar.primitive
    kind = primitive.WhichOneof("value")
    if kind is None:
        _malformed("Only primitives can be compared.")
    value = getattr(primitive, kind)
    return kind, value.ToNanoseconds() if kind in ("datetime", "duration") else value


def _malformed(message: str) -> NoReturn:
    raise BadBinding(f"MalformedBranchUserError: {message}")
