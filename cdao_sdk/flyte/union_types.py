"""The fields of structures inside unions, which flytekit's literal types leave out.

flytekit writes the name of a variant's transformer over the fields of its dataclass or pydantic
model (1.16.31, ``_add_tag_to_type`` in core/type_engine). Without them nobody can tell which parts
of such a value are files. Flyte compares types by that name alone and never by the fields
(flytepropeller/pkg/compiler/validators/typing.go).
"""

# flytekit ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any, cast

from flytekit.core.type_engine import TypeEngine
from flytekit.models.interface import TypedInterface, Variable
from flytekit.models.types import LiteralType

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["with_fields_in_unions"]


def with_fields_in_unions(
    interface: TypedInterface, inputs: Mapping[str, object], outputs: Mapping[str, object]
) -> TypedInterface:
    """An interface whose unions know the fields of the structures in them.

    Args:
        interface: As flytekit makes it.
        inputs: Input's name → Python type.
        outputs: Output's name → Python type.
    """
    return TypedInterface(
        {name: _variable(variable, inputs[name]) for name, variable in interface.inputs.items()},
        {name: _variable(variable, outputs[name]) for name, variable in interface.outputs.items()},
    )


def _variable(variable: Variable, python_type: object) -> Variable:
    message = variable.type.to_flyte_idl()
    _fill(message, python_type, ())
    if message == variable.type.to_flyte_idl():
        return variable
    return Variable(
        LiteralType.from_flyte_idl(message),
        variable.description,
        artifact_partial_id=variable.artifact_partial_id,
        artifact_tag=variable.artifact_tag,
    )


def _fill(message: Any, python_type: object, around: tuple[object, ...]) -> None:
    """Write the fields into the unions of a type's message, at whatever depth.

    Args:
        message: The literal type, as a protobuf message.
        python_type: The type that it was made of.
        around: The structures that it lies in; one of them is not gone into again.
    """
    if typing.get_origin(python_type) is typing.Annotated:
        python_type = typing.get_args(python_type)[0]
    parts = typing.get_args(python_type)
    if message.HasField("union_type"):
        for variant, part in zip(message.union_type.variants, parts, strict=True):
            whole = TypeEngine.to_literal_type(part).to_flyte_idl().structure.dataclass_type
            for name, field_type in whole.items():
                variant.structure.dataclass_type[name].CopyFrom(field_type)
            _fill(variant, part, around)
    elif message.HasField("collection_type") and parts:
        _fill(message.collection_type, parts[0], around)
    elif message.HasField("map_value_type") and len(parts) > 1:
        _fill(message.map_value_type, parts[1], around)
    elif message.structure.dataclass_type and python_type not in around:
        for name, hint in _field_types(python_type).items():
            if name in message.structure.dataclass_type:
                _fill(message.structure.dataclass_type[name], hint, (*around, python_type))


def _field_types(python_type: object) -> Mapping[str, object]:
    if dataclasses.is_dataclass(python_type):
        return typing.get_type_hints(python_type, include_extras=True)
    fields = cast("Mapping[str, Any]", getattr(python_type, "model_fields", {}))
    return {name: field.annotation for name, field in fields.items()}
