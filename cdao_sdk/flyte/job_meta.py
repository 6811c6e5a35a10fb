"""What a connector remembers of a job between two calls: versioned JSON, never a pickle."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from flyteidl.core.interface_pb2 import VariableMap
from flytekit.extend.backend.base_connector import ResourceMeta
from flytekit.models.interface import TypedInterface, Variable
from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.kinds.job import ApiCall

if TYPE_CHECKING:
    from flytekit.models.types import LiteralType

__all__ = ["JobMeta", "encode_interface"]

_META_VERSION = 1


def encode_interface(interface: TypedInterface) -> str:
    """A task's outputs as text: a serialised ``VariableMap`` in base64."""
    outputs = interface.to_flyte_idl().outputs.SerializeToString()
    return base64.b64encode(outputs).decode()


class _PendingCall(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    operation: str = Field(pattern="^Create[A-Za-z]+$")
    parameters: dict[str, JsonValue]


class _Wire(BaseModel):
    """``JobMeta`` as it may come in from outside."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: str
    job_name: str = Field(pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
    runs_body: bool
    interface: str
    pending: list[_PendingCall]
    waiting: str
    flytekit_prefix: str = ""
    version: Literal[1]


@dataclass
class JobMeta(ResourceMeta):
    """What ``get`` and ``delete`` need to know of a job.

    Attributes:
        kind: Name of the job kind.
        job_name: SageMaker's name of the job.
        runs_body: Whether the user's function runs in it.
        interface: The task's outputs, a serialised ``VariableMap`` in base64.
        pending: Requests that SageMaker has not taken yet.
        waiting: Why not.
        flytekit_prefix: Where flytekit writes outputs and errors, if it runs the function.
    """

    kind: str
    job_name: str
    runs_body: bool
    interface: str
    pending: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    waiting: str = ""
    flytekit_prefix: str = ""
    version: int = _META_VERSION

    @classmethod
    def decode(cls, data: bytes) -> JobMeta:
        """Read what ``encode`` wrote.

        Raises:
            ConfigurationError: It is not that.
        """
        try:
            return cls(**_Wire.model_validate_json(data).model_dump())
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_input=False)
            ]
            msg = "The resource meta is not what this release of cdao-sdk writes."
            raise ConfigurationError(msg, problems=problems) from error

    @property
    def pending_calls(self) -> list[ApiCall]:
        """The pending requests, in the order to be sent."""
        return [
            ApiCall(str(call["operation"]), cast("dict[str, object]", call["parameters"]))
            for call in self.pending
        ]

    @property
    def outputs(self) -> dict[str, LiteralType]:
        """Output's name → its declared type.

        Raises:
            ConfigurationError: The interface is not what ``encode_interface`` writes.
        """
        try:
            content = base64.b64decode(self.interface, validate=True)
            variables = VariableMap.FromString(content).variables
        except (ValueError, DecodeError) as error:
            msg = f"The interface in the resource meta cannot be read: {error}"
            raise ConfigurationError(msg) from error
        return {name: Variable.from_flyte_idl(v).type for name, v in variables.items()}
