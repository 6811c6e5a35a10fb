"""One way to call AWS: the shared client, and every error as one of ours."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from cdao_sdk.errors import CdaoError, NotFound, ResourcesUnavailable, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.aws.session import AwsClients

__all__ = ["UNREACHABLE", "AlreadyExists", "call", "submission_error"]

# Error codes as SageMaker, S3, STS and Logs send them; read in botocore's models and in issue
# threads of SageMaker's users, 2026-11.
_LATER = frozenset(
    {
        "CapacityError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceLimitExceeded",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
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
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
UNREACHABLE = "ConnectionError"
"""Our own code for an endpoint that did not answer at all."""

_MISSING_TEXT = re.compile(r"(requested resource not found|could not find|does not exist)", re.I)
_EXISTS_TEXT = re.compile(r"cannot create already existing", re.I)


class AlreadyExists(SubmissionError):
    """A resource of that name is there already."""


def submission_error(operation: str, code: str, message: str) -> CdaoError:
    """The error of ours for an error code of AWS.

    Args:
        operation: The call, such as ``"CreateTrainingJob"``.
        code: AWS's error code.
        message: AWS's message.

    Returns:
        The error, to be raised.
    """
    text = f"{operation} was refused ({code}): {message}"
    if code in _MISSING or (code == "ValidationException" and _MISSING_TEXT.search(message)):
        return NotFound(text)
    if code in _EXISTS or (code == "ValidationException" and _EXISTS_TEXT.search(message)):
        return AlreadyExists(text, code=code)
    if code in _LATER:
        return ResourcesUnavailable(text, code=code)
    if code in _DENIED:
        mend = "Check the credentials in force and that they allow this call"
        if "PassRole" in message or operation.startswith("Create"):
            mend += " and iam:PassRole on the SageMaker role"
        return SubmissionError(f"{text}. {mend}.", code=code)
    return SubmissionError(text, code=code)


async def call(
    clients: AwsClients, service: str, operation: str, parameters: Mapping[str, object]
) -> dict[str, object]:
    """Send one request.

    Args:
        clients: Where to.
        service: ``"sagemaker"``, ``"s3"``, ``"logs"`` or ``"sts"``.
        operation: The API's own name, such as ``"CreateTrainingJob"``.
        parameters: The request, in the API's own spelling.

    Returns:
        The answer.

    Raises:
        SubmissionError: The request was refused; ``ResourcesUnavailable`` if another try may pass,
            ``AlreadyExists`` if the name is taken.
        NotFound: What it names is not there.
    """
    # Loaded with the first call: flytekit imports this module wherever it starts.
    from botocore import xform_name
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionClosedError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        ParamValidationError,
    )

    client = await clients.client(service)
    try:
        answer = await getattr(client, xform_name(operation))(**parameters)
    except ClientError as error:
        detail = cast("dict[str, str]", error.response.get("Error", {}))
        code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
        raise submission_error(operation, code, message) from error
    except (EndpointConnectionError, ConnectionClosedError, HTTPClientError) as error:
        msg = f"{operation}: {clients.target.endpoint_url or 'AWS'} did not answer: {error}"
        raise ResourcesUnavailable(msg, code=UNREACHABLE) from error
    except NoCredentialsError as error:
        msg = (
            f"{operation}: no AWS credentials were found. Log in (`aws sso login`, `aws configure`)"
            " or set AWS_PROFILE."
        )
        raise SubmissionError(msg, code="NoCredentials") from error
    except ParamValidationError as error:
        msg = f"{operation}: the request does not fit the API: {error}"
        raise SubmissionError(msg, code="ParamValidation") from error
    except BotoCoreError as error:
        msg = f"{operation}: {error}"
        raise SubmissionError(msg, code=type(error).__name__) from error
    return dict(answer)
