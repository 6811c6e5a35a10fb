"""Which gRPC status an error becomes."""

# flytekit and grpc ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpc import StatusCode

from cdao_sdk import errors
from cdao_sdk.aws.calls import AlreadyExists
from cdao_sdk.flyte.serving.redaction import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BadRequest", "Busy", "Status", "UnknownTaskType", "status_of"]

# Details travel in a header: C clients refuse more than 8 KB of them.
_LONGEST_DETAIL = 2_000


class BadRequest(errors.CdaoError):
    """A request that is not one of Flyte's, or beyond the limits."""


class UnknownTaskType(errors.CdaoError):
    """A task type that is not ours."""


class Busy(errors.CdaoError):
    """More calls at once than the service takes; another try may pass."""


@dataclass(frozen=True)
class Status:
    """How a call failed.

    Attributes:
        code: gRPC's code.
        detail: One line for people; Flyte's console shows it.
        incident: Set for a fault of ours; the log has the traceback under it.
    """

    code: StatusCode
    detail: str
    incident: str = ""


# First match wins. UNAVAILABLE is what the rendered Propeller config has gRPC try again.
_CODES: Mapping[type[BaseException], StatusCode] = {
    BadRequest: StatusCode.INVALID_ARGUMENT,
    UnknownTaskType: StatusCode.NOT_FOUND,
    Busy: StatusCode.UNAVAILABLE,
    errors.SpecError: StatusCode.INVALID_ARGUMENT,
    errors.PlanError: StatusCode.INVALID_ARGUMENT,
    errors.ConfigurationError: StatusCode.FAILED_PRECONDITION,
    errors.NotFound: StatusCode.NOT_FOUND,
    AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.ResourcesUnavailable: StatusCode.UNAVAILABLE,
    errors.JobFailed: StatusCode.FAILED_PRECONDITION,
    errors.JobStopped: StatusCode.FAILED_PRECONDITION,
    errors.ExecutionTimeout: StatusCode.DEADLINE_EXCEEDED,
    errors.CdaoError: StatusCode.FAILED_PRECONDITION,
    asyncio.TimeoutError: StatusCode.DEADLINE_EXCEEDED,
    TimeoutError: StatusCode.DEADLINE_EXCEEDED,  # two classes before Python 3.11
    NotImplementedError: StatusCode.UNIMPLEMENTED,
}

# SubmissionError's code → gRPC's; AWS's spelling, and that of `aws/calls`.
_SUBMISSION_CODES: Mapping[str, StatusCode] = {
    "AccessDenied": StatusCode.PERMISSION_DENIED,
    "AccessDeniedException": StatusCode.PERMISSION_DENIED,
    "UnauthorizedOperation": StatusCode.PERMISSION_DENIED,
    "NotAuthorized": StatusCode.PERMISSION_DENIED,
    "UnrecognizedClientException": StatusCode.PERMISSION_DENIED,
    "InvalidClientTokenId": StatusCode.PERMISSION_DENIED,
    "InvalidAccessKeyId": StatusCode.PERMISSION_DENIED,
    "SignatureDoesNotMatch": StatusCode.PERMISSION_DENIED,
    "ExpiredToken": StatusCode.UNAVAILABLE,  # the next call brings fresh ones
    "ExpiredTokenException": StatusCode.UNAVAILABLE,
    "NoCredentials": StatusCode.UNAVAILABLE,  # the metadata service or STS did not answer
    "SSLError": StatusCode.UNAVAILABLE,
    "ValidationException": StatusCode.INVALID_ARGUMENT,
    "ParamValidation": StatusCode.INVALID_ARGUMENT,
}


def status_of(error: BaseException) -> Status:
    """The status for an error that a call ended with."""
    code = _code_of(error)
    if code is None:
        incident = secrets.token_hex(6)
        detail = (
            f"{type(error).__name__}: a fault of the connector, incident {incident}; its log has"
            " the traceback."
        )
        return Status(StatusCode.INTERNAL, detail, incident)
    text = str(error) or type(error).__name__
    return Status(code, one_line(redacted(text), _LONGEST_DETAIL))


def _code_of(error: BaseException) -> StatusCode | None:
    if isinstance(error, errors.SubmissionError) and error.code in _SUBMISSION_CODES:
        return _SUBMISSION_CODES[error.code]
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
