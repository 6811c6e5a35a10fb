"""What FlyteAdmin's refusals mean: each as one of our errors, with what can be done about it.

The texts that are looked for are those of FlyteAdmin v1.16.8 and of grpc 1.7x.
"""

# grpc and flytekit ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import grpc
from flytekit.exceptions.base import FlyteException

from cdao_sdk.errors import (
    CdaoError,
    ConfigurationError,
    NotFound,
    PlanError,
    ResourcesUnavailable,
    SubmissionError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UNANSWERED", "EntityExists", "Place", "as_ours", "refused_inputs"]

UNANSWERED = "UNAVAILABLE"
"""The code of an error that says: FlyteAdmin did not answer."""

# flyteadmin/pkg/manager/impl/validation/project_validator.go
_UNREGISTERED = re.compile(r"project \[(.*?)\] and domain \[(.*?)\] are registered")
_DOMAIN = re.compile(r"domain \[(.*?)\] is unrecognized")
_PLAINTEXT_SERVER = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE")
_BAD_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification", "certificate verify")
_TLS_SERVER = ("Socket closed", "reset by peer", "End of TCP stream", "Connection reset", "EOF")
_NO_GRPC = ("http1.x server", "http2 header with status", "content-type")
_MOST_DETAILS = 600


class EntityExists(SubmissionError):
    """What was to be created is there already, under the same name."""


class Place:
    """The FlyteAdmin that was asked, for messages.

    Args:
        endpoint: Its host and port.
        insecure: Whether it was asked without TLS.
    """

    def __init__(self, endpoint: str, *, insecure: bool) -> None:
        self.endpoint = endpoint
        self.insecure = insecure

    def __str__(self) -> str:
        return f"FlyteAdmin at {self.endpoint}"


def rpc_error(error: BaseException) -> Any:
    """The gRPC error that an exception of flytekit's stands for; None if there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, grpc.RpcError) and hasattr(seen, "code"):
            return seen
        seen = seen.__cause__
    return None


def as_ours(error: Exception, place: Place) -> CdaoError:
    """An error of a call to FlyteAdmin as one of ours.

    Args:
        error: What flytekit or grpc raised.
        place: Who was asked.
    """
    if isinstance(error, CdaoError):
        return error
    found = rpc_error(error)
    if found is None:
        return _without_answer(error, place)
    code: str = found.code().name
    details = _short(str(found.details() or ""))
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return _unanswered(code, details, place)
    if (unknown := _unregistered(details, place)) is not None:
        return unknown
    if code in _CLASSES:
        kind, words = _CLASSES[code]
        msg = f"{place} {words}: {details}"
        return kind(msg, code=code) if issubclass(kind, SubmissionError) else kind(msg)
    msg = f"{place} answered {code}: {details}{_not_admin(details)}"
    return SubmissionError(msg, code=code)


_CLASSES: Mapping[str, tuple[type[CdaoError], str]] = {
    "UNAUTHENTICATED": (
        SubmissionError,
        "does not know who you are; log in as admin.authType of .flyte/config.yaml says",
    ),
    "PERMISSION_DENIED": (
        SubmissionError,
        "does not allow this; ask for the right to register and run in this project and domain",
    ),
    "NOT_FOUND": (NotFound, "has no such thing"),
    "ALREADY_EXISTS": (EntityExists, "has it already"),
    "INVALID_ARGUMENT": (SubmissionError, "refused the request"),
    "FAILED_PRECONDITION": (SubmissionError, "refused the request in its present state"),
    "RESOURCE_EXHAUSTED": (ResourcesUnavailable, "has no room for this now"),
}


def _short(details: str) -> str:
    details = details.strip()
    return details if len(details) <= _MOST_DETAILS else f"{details[:_MOST_DETAILS]}…"


def _unanswered(code: str, details: str, place: Place) -> CdaoError:
    reason = f"no answer in time ({details})" if code == "DEADLINE_EXCEEDED" else details
    msg = f"{place} cannot be reached: {reason}.{_transport_hint(details, place)}"
    return ResourcesUnavailable(msg, code=UNANSWERED)


def _transport_hint(details: str, place: Place) -> str:
    if any(word in details for word in _PLAINTEXT_SERVER):
        return (
            " It speaks without TLS: write http:// before the endpoint, or insecure=True"
            " (CDAO_INSECURE=true)."
        )
    if any(word in details for word in _BAD_CERTIFICATE):
        return (
            " Its certificate is not trusted here: name the authority's file as"
            " admin.caCertFilePath in .flyte/config.yaml, or set admin.insecureSkipVerify."
        )
    if any(word in details for word in _NO_GRPC):
        return _NOT_ADMIN
    if place.insecure and any(word in details for word in _TLS_SERVER):
        return " Perhaps it wants TLS: write https:// before the endpoint, or insecure=False."
    return " See admin_endpoint, the port, the VPN and proxies; `cdao doctor` looks further."


def _unregistered(details: str, place: Place) -> CdaoError | None:
    found = _UNREGISTERED.search(details)
    if found:
        msg = (
            f"{place} has no project {found[1]!r} with domain {found[2]!r}: set project and domain"
            " to ones that are there (`flytectl get project`), or have the project created."
        )
        return ConfigurationError(msg)
    domain = _DOMAIN.search(details)
    if domain:
        msg = f"{place} has no domain {domain[1]!r}: it is 'development', 'staging' or 'production'"
        return ConfigurationError(f"{msg}, unless your platform has named them otherwise.")
    return None


_NOT_ADMIN = " Is this FlyteAdmin's gRPC endpoint, or a web page before it?"


def _not_admin(details: str) -> str:
    return _NOT_ADMIN if any(word in details for word in _NO_GRPC) else ""


def _without_answer(error: Exception, place: Place) -> CdaoError:
    """Of what never became a call: authentication, and flytekit's own checks."""
    cause = error.__cause__ or error
    text = _short(f"{type(cause).__name__}: {cause}")
    module = type(cause).__module__
    if module.startswith("flytekit.clients.auth") or isinstance(cause, (ValueError, KeyError)):
        msg = (
            f"Logging in to {place} failed: {text}. See admin.authType and what belongs to it in"
            " .flyte/config.yaml, or FLYTE_CREDENTIALS_*."
        )
        return ConfigurationError(msg)
    if isinstance(cause, FlyteException):
        msg = f"{place}: {text}"
        return SubmissionError(msg, code=str(getattr(cause, "error_code", "")))
    msg = f"A call to {place} failed: {text}"
    return SubmissionError(msg)


def refused_inputs(error: SubmissionError, entity: str) -> CdaoError:
    """FlyteAdmin's refusal to start something, as a word on its inputs if it is about them."""
    if error.code == "INVALID_ARGUMENT" and "input" in error.message:
        msg = f"The inputs of {entity} do not fit: {error.message}"
        return PlanError(msg)
    return error
