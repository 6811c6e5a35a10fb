"""What a connector remembers of a job between two calls: versioned JSON, never a pickle.

Propeller keeps it in the workflow's Kubernetes object, whose size is limited, and writes it to its
log: so it is small, and says where the request is instead of what it is.
"""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from flyteidl.core.interface_pb2 import VariableMap
from flytekit.extend.backend.base_connector import ResourceMeta
from flytekit.models.interface import TypedInterface, Variable
from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cdao_sdk import errors
from cdao_sdk.errors import CdaoError, ConfigurationError

if TYPE_CHECKING:
    from flytekit.models.types import LiteralType

__all__ = ["JobMeta", "Refusal", "encode_interface"]

_META_VERSION = 2
_LIMIT_BYTES = 64 * 1024
_TEXT_LIMIT = 2000

_JobName = Annotated[str, Field(pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
_Text = Annotated[str, Field(max_length=_TEXT_LIMIT)]


def encode_interface(interface: TypedInterface) -> str:
    """A task's outputs as text: a serialised ``VariableMap`` in base64."""
    outputs = interface.to_flyte_idl().outputs.SerializeToString(deterministic=True)
    return base64.b64encode(outputs).decode()


@dataclass(frozen=True)
class Refusal:
    """Why nothing is to be made of a request: an error that travels.

    Attributes:
        error: Class of the error, such as ``"PlanError"``.
        message: What it says.
    """

    error: str
    message: str

    @classmethod
    def of(cls, error: CdaoError) -> Refusal:
        """The refusal that an error is; a long text is cut."""
        return cls(type(error).__name__, str(error)[:_TEXT_LIMIT])

    def raised(self) -> CdaoError:
        """The error again, to be raised."""
        kind: object = getattr(errors, self.error, None)
        if isinstance(kind, type) and issubclass(kind, CdaoError):
            return kind(self.message)
        return CdaoError(self.message)


class _RefusalWire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    error: Annotated[str, Field(max_length=64)]
    message: _Text


class _Wire(BaseModel):
    """``JobMeta`` as it may come in from outside."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Annotated[str, Field(max_length=64)]
    job_names: list[_JobName] = Field(max_length=10)
    request_uri: Annotated[str, Field(max_length=1200, pattern="^(s3://|$)")]
    request_digest: Annotated[str, Field(pattern="^[0-9a-f]{0,64}$")]
    created: float
    project: _Text
    domain: _Text
    execution: _Text
    node: _Text
    attempt: int
    runs_body: bool
    interface: str
    output_prefix: Annotated[str, Field(max_length=1200)]
    uses_flytekit: bool
    has_deck: bool
    instance_types: list[_Text] = Field(max_length=10)
    instance_count: int
    spot: bool
    refusal: _RefusalWire | None
    version: Literal[2]


@dataclass(kw_only=True)  # not frozen: flytekit's base is not
class JobMeta(ResourceMeta):
    """What ``get`` and ``delete`` need to know of a job.

    Attributes:
        kind: Name of the job kind.
        job_names: SageMaker's names: one for each instance type that may be tried, in this order.
        request_uri: Where the request is kept; empty if it was refused.
        request_digest: Its SHA-256, in hexadecimal.
        created: When the request came, in seconds since 1970: its place in any waiting line.
        project: Flyte project; with the domain it says in which account the job runs.
        domain: Flyte domain.
        execution: Flyte execution.
        node: Node in it.
        attempt: The attempt's number, from 0.
        runs_body: Whether the user's function runs in the job.
        interface: The task's outputs, a serialised ``VariableMap`` in base64; empty if it is large,
            and then the request has it.
        output_prefix: Where Flyte expects outputs and deck; empty in a run in this process.
        uses_flytekit: Whether flytekit itself runs the function, and writes there.
        has_deck: Whether Flyte will show a deck.
        instance_types: One for each of ``job_names``.
        instance_count: Number of instances.
        spot: Whether they are spot instances.
        refusal: Why there is no job and never will be.
        version: Version of this form.
    """

    kind: str
    job_names: tuple[str, ...]
    request_uri: str = ""
    request_digest: str = ""
    created: float = 0.0
    project: str = ""
    domain: str = ""
    execution: str = ""
    node: str = ""
    attempt: int = 0
    runs_body: bool = False
    interface: str = ""
    output_prefix: str = ""
    uses_flytekit: bool = False
    has_deck: bool = False
    instance_types: tuple[str, ...] = ()
    instance_count: int = 1
    spot: bool = False
    refusal: Refusal | None = None
    version: int = _META_VERSION

    @property
    def job_name(self) -> str:
        """The first job's name; empty if the request was refused before it had one."""
        return self.job_names[0] if self.job_names else ""

    @property
    def flytekit_prefix(self) -> str:
        """Where flytekit writes outputs and errors, if it runs the function."""
        return self.output_prefix if self.uses_flytekit else ""

    def encode(self) -> bytes:
        """The meta as compact JSON; the same bytes for the same job."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes) -> JobMeta:
        """Read what ``encode`` wrote.

        Raises:
            ConfigurationError: It is not that.
        """
        msg = "The resource meta is not what this release of cdao-sdk writes."
        if len(data) > _LIMIT_BYTES:
            problems = [f"it has {len(data)} bytes; at most {_LIMIT_BYTES} are read"]
            raise ConfigurationError(msg, problems=problems)
        try:
            wire = _Wire.model_validate_json(data)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_input=False)
            ]
            raise ConfigurationError(msg, problems=problems) from error
        values = wire.model_dump()
        for name in ("job_names", "instance_types"):
            values[name] = tuple(values[name])
        if wire.refusal is not None:
            values["refusal"] = Refusal(wire.refusal.error, wire.refusal.message)
        return cls(**values)

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
