"""What a task template tells the connector: versioned JSON in ``TaskTemplate.custom``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.errors import SpecError
from cdao_sdk.flyte.bundle import EntryPoint
from cdao_sdk.kinds.build import load_spec
from cdao_sdk.kinds.parameters import ParameterRole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.kinds.spec import JobSpec

__all__ = ["TaskPayload"]

_PAYLOAD_VERSION = 1


@dataclass(frozen=True)
class TaskPayload:
    """All that the connector knows of a task: ``TaskTemplate.custom``, as JSON.

    Attributes:
        kind: Name of the job kind.
        spec: Its options.
        roles: What each parameter becomes.
        runs_body: Whether the user's function runs in the job.
        entry: The function.
        handlers: Functions that serve the model.
        outputs: Names of what the task returns, in order.
        code_uri: The user's code; None if the image has it.
    """

    kind: str
    spec: JobSpec
    roles: tuple[ParameterRole, ...]
    runs_body: bool
    entry: EntryPoint
    handlers: Mapping[str, EntryPoint]
    outputs: tuple[str, ...]
    code_uri: str | None = None

    def to_json(self) -> dict[str, object]:
        """The payload as plain JSON values."""
        return {
            "version": _PAYLOAD_VERSION,
            "kind": self.kind,
            "spec": self.spec.model_dump(mode="json", exclude_defaults=True),
            "roles": [asdict(role) for role in self.roles],
            "runs_body": self.runs_body,
            "entry": asdict(self.entry),
            "handlers": {name: asdict(entry) for name, entry in self.handlers.items()},
            "outputs": list(self.outputs),
            "code_uri": self.code_uri,
        }

    @classmethod
    def from_json(cls, custom: Mapping[str, object]) -> TaskPayload:
        """Read a payload.

        Raises:
            SpecError: It is not one, or of a version that is not known here.
        """
        given: object = custom
        if not isinstance(given, dict):
            msg = f"The task template has no payload of cdao-sdk, but {given!r:.80}."
            raise SpecError(msg)
        version = custom.get("version")
        if version != _PAYLOAD_VERSION:
            msg = (
                f"The task template has payload version {version!r}; this connector reads"
                f" {_PAYLOAD_VERSION}. Register the workflow and run the connector with the same"
                " release of cdao-sdk."
            )
            raise SpecError(msg)
        try:
            kind = str(custom["kind"])
            handlers = cast("dict[str, dict[str, str]]", custom["handlers"])
            roles = cast("list[dict[str, str]]", custom["roles"])
            return cls(
                kind=kind,
                spec=load_spec(kind, cast("dict[str, object]", custom["spec"])),
                roles=tuple(ParameterRole(**cast("dict[str, Any]", role)) for role in roles),
                runs_body=bool(custom["runs_body"]),
                entry=EntryPoint(**cast("dict[str, str]", custom["entry"])),
                handlers={name: EntryPoint(**entry) for name, entry in handlers.items()},
                outputs=tuple(cast("list[str]", custom["outputs"])),
                code_uri=cast("str | None", custom.get("code_uri")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"The task template's payload is malformed: {type(error).__name__}: {error}"
            raise SpecError(msg) from error
