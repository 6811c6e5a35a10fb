"""One way to call AWS: the shared client, and every error as one of ours."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from cdao_sdk.aws.metrics import aws_metrics
from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.aws.session import AwsClients

__all__ = [
    "UNREACHABLE",
    "AlreadyExists",
    "answered_at",
    "call",
    "submission_error",
    "unreachable",
]

# Error codes as SageMaker, S3, STS and Logs send them; read in botocore's models, in what botocore
# itself takes for throttling or transient, and in issue threads of SageMaker's users, 2026-11.
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "429",
    }
)
_LATER = _THROTTLED | frozenset(
    {
        "CapacityError",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "LimitExceededException",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceLimitExceeded",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionInProgressException",
        "500",
        "502",
        "503",
        "504",
    }
)
_MISSING = frozenset(
    {"404", "NoSuchBucket", "NoSuchKey", "ResourceNotFound", "ResourceNotFoundException"}
)
_EXISTS = frozenset({"ResourceInUse", "ResourceInUseException"})
_DENIED = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_SERVERS_FAULT = 500  # the HTTP status from which on the fault is the server's

UNREACHABLE = "ConnectionError"
"""Our own code for an endpoint that did not answer at all."""

_CLOCK = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOCK_TEXT = re.compile(r"signature (expired|not yet current)", re.I)
_MISSING_TEXT = re.compile(r"(requested resource not found|could not find|does not exist)", re.I)
_EXISTS_TEXT = re.compile(r"cannot create already existing", re.I)


class AlreadyExists(SubmissionError):
    """A resource of that name is there already."""


def submission_error(operation: str, code: str, message: str, *, status: int = 0) -> CdaoError:
    """The error of ours for an error code of AWS.

    Args:
        operation: The call, such as ``"CreateTrainingJob"``.
        code: AWS's error code.
        message: AWS's message.
        status: The answer's HTTP status; 0 where there is none.

    Returns:
        The error, to be raised.
    """
    text = f"{operation} was refused ({code}): {message}"
    if code in _MISSING or (code == "ValidationException" and _MISSING_TEXT.search(message)):
        return NotFound(text)
    if code in _EXISTS or (code == "ValidationException" and _EXISTS_TEXT.search(message)):
        return AlreadyExists(text, code=code)
    if code in _LATER or status >= _SERVERS_FAULT:
        return ResourcesUnavailable(text, code=code)
    if code in _CLOCK or _CLOCK_TEXT.search(message):
        mend = "This machine's clock differs from AWS's by more than it allows: set it (NTP)"
        return SubmissionError(f"{text}. {mend}.", code=code)
    if code in _DENIED:
        mend = "Check the credentials in force and that they allow this call"
        if operation == "AssumeRole":
            mend += ", and that the role's trust policy names them and the external id"
        if "PassRole" in message or operation.startswith("Create"):
            mend += " and iam:PassRole on the SageMaker role"
        return SubmissionError(f"{text}. {mend}.", code=code)
    return SubmissionError(text, code=code)


async def call(
    clients: AwsClients,
    service: str,
    operation: str,
    parameters: Mapping[str, object],
    *,
    at_most_seconds: float = 60.0,
) -> dict[str, object]:
    """Send one request, in its turn.

    Args:
        clients: Where to.
        service: ``"sagemaker"``, ``"s3"``, ``"logs"``, ``"sts"`` or ``"sqs"``.
        operation: The API's own name, such as ``"CreateTrainingJob"``.
        parameters: The request, in the API's own spelling.
        at_most_seconds: How long to wait for the operation's rate; nothing is sent if that is
            not enough.

    Returns:
        The answer.

    Raises:
        SubmissionError: The request was refused; ``ResourcesUnavailable`` if another try may pass,
            ``AlreadyExists`` if the name is taken.
        NotFound: What it names is not there.
    """
    metrics = aws_metrics()
    code, began = "Cancelled", None
    try:
        await clients.rates.acquire(operation, at_most_seconds=at_most_seconds)
        began = time.perf_counter()
        answer = await _send(clients, service, operation, parameters)
        code = "OK"
    except CdaoError as error:
        code = getattr(error, "code", "") or type(error).__name__
        if code in _THROTTLED:
            metrics.throttled.labels(service, operation).inc()
            clients.rates.throttled(operation)
        raise
    finally:
        metrics.calls.labels(service, operation, code).inc()
        if began is not None:
            metrics.seconds.labels(service, operation).observe(time.perf_counter() - began)
    # botocore had to send it again: that is no reason to ask for more.
    if not cast("Mapping[str, object]", answer["ResponseMetadata"]).get("RetryAttempts"):
        clients.rates.passed(operation)
    return answer


def answered_at(answer: Mapping[str, object]) -> datetime | None:
    """When a call was answered, by AWS's clock; None where the answer does not say it."""
    metadata = cast("Mapping[str, Any]", answer["ResponseMetadata"])
    try:
        date = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


async def _send(
    clients: AwsClients, service: str, operation: str, parameters: Mapping[str, object]
) -> dict[str, object]:
    # Loaded with the first call: flytekit imports this module wherever it starts.
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        client = await clients.client(service)
        answer = await getattr(client, xform_name(operation))(**parameters)
    except ClientError as error:
        detail = cast("dict[str, str]", error.response.get("Error", {}))
        code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
        metadata = cast("dict[str, int]", error.response.get("ResponseMetadata", {}))
        status = metadata.get("HTTPStatusCode", 0)
        # AssumeRole, when that is what was refused.
        refused = str(getattr(error, "operation_name", operation))
        raise submission_error(refused, code, message, status=status) from error
    except BotoCoreError as error:
        raise _unanswered(clients, operation, error) from error
    except ResponseParserError as error:
        raise _no_answer_of_aws(clients, operation) from error
    if not cast("Mapping[str, object]", answer["ResponseMetadata"]).get("RequestId"):
        raise _no_answer_of_aws(clients, operation)
    return dict(answer)


def unreachable(clients: AwsClients, operation: str, error: Exception) -> ResourcesUnavailable:
    """The error for an endpoint that did not answer, or not to the end."""
    where = clients.target.endpoint_url or "AWS"
    msg = f"{operation}: {where} did not answer: {error}"
    return ResourcesUnavailable(msg, code=UNREACHABLE)


def _no_answer_of_aws(clients: AwsClients, operation: str) -> ResourcesUnavailable:
    # Such as the log-in page of a network; botocore takes it for an answer without content.
    where = clients.target.endpoint_url or "AWS"
    msg = f"{operation}: what came from {where} is no answer of AWS; is a proxy between?"
    return ResourcesUnavailable(msg, code=UNREACHABLE)


def _unanswered(clients: AwsClients, operation: str, error: Exception) -> SubmissionError:
    """What a request is refused for on this side of the wire."""
    from botocore import exceptions as botocore

    if isinstance(error, botocore.SSLError):
        msg = f"{operation}: the endpoint's certificate was not accepted: {error}"
        return SubmissionError(msg, code="SSLError")
    if isinstance(error, (botocore.ConnectionError, botocore.HTTPClientError)):
        return unreachable(clients, operation, error)
    if isinstance(
        error,
        (
            botocore.CredentialRetrievalError,
            botocore.NoAuthTokenError,
            botocore.NoCredentialsError,
            botocore.PartialCredentialsError,
            botocore.ProfileNotFound,
            botocore.SSOError,
            botocore.TokenRetrievalError,
        ),
    ):
        msg = (
            f"{operation}: no AWS credentials were found: {error}. Log in (`aws sso login`,"
            " `aws configure`) or set AWS_PROFILE."
        )
        return SubmissionError(msg, code="NoCredentials")
    if isinstance(error, botocore.ParamValidationError):
        msg = f"{operation}: the request does not fit the API: {error}"
        return SubmissionError(msg, code="ParamValidation")
    return SubmissionError(f"{operation}: {error}", code=type(error).__name__)
