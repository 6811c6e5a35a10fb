"""All services but SageMaker, S3 and Logs: moto's, loaded when the first call comes.

moto answers here as it does to a mocked botocore; its own HTTP server would need Flask and more.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.job_kinds import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Request

# Services whose host is not called as their signature says.
_HOSTS = {"ecr": "api.ecr", "ecr-public": "api.ecr-public"}

_IDENTITY = f"""\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::{ACCOUNT}:user/local</Arn>
    <UserId>AIDALOCAL</UserId>
    <Account>{ACCOUNT}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>local</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>
"""


class _Stubber(Protocol):
    def process_request(
        self, request: object, /
    ) -> tuple[int, Mapping[str, str], str | bytes] | None: ...


class _Moto(Protocol):
    """What we use of moto: status, headers and body for a request to AWS, or None for no answer."""

    def __call__(
        self, *, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], str | bytes] | None: ...


def answer(request: Request, *, service: str, region: str) -> Response:
    """Answer a call of a service that is not ours.

    Raises:
        AwsError: moto is not installed, or does not know the service.
    """
    body = request.get_data()
    if service in {"sts", ""} and b"Action=GetCallerIdentity" in body:
        return Response(_IDENTITY, content_type="text/xml")
    if service == "iam" and b"Action=SimulatePrincipalPolicy" in body:
        return Response(_allowed(body), content_type="text/xml")
    # What is not signed (AssumeRoleWithWebIdentity) is for STS.
    service = service or "sts"
    host = f"{_HOSTS.get(service, service)}.{region}.amazonaws.com"
    query = request.query_string.decode("latin-1")
    url = f"https://{host}{request.path}{'?' if query else ''}{query}"
    try:
        answered = _moto(service)(
            method=request.method, url=url, headers=dict(request.headers, Host=host), body=body
        )
    except NotImplementedError as error:
        msg = f"The embedded AWS does not offer this call of {service!r}: {error}"
        raise AwsError(code="UnsupportedOperation", message=msg) from error
    if answered is None or answered[2] == "Not yet implemented":
        msg = f"The embedded AWS has no service {service!r}."
        raise AwsError(code="UnsupportedOperation", message=msg)
    status, headers, content = answered
    return Response(content, status=status, headers=dict(headers))


def is_query(request: Request) -> bool:
    """Whether the call speaks AWS's query protocol, and wants its errors in XML."""
    if request.method != "POST" or "X-Amz-Target" in request.headers:
        return False
    return request.mimetype == "application/x-www-form-urlencoded" and request.path == "/"


def refusal(error: AwsError) -> Response:
    """An error of the query protocol."""
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></ErrorResponse>"
    )
    return Response(body, status=error.status, content_type="text/xml")


def _allowed(body: bytes) -> str:
    """SimulatePrincipalPolicy: nothing is checked here, so every action is allowed."""
    given = parse_qs(body.decode("latin-1"))
    actions, resources = (
        [values[0] for name, values in given.items() if name.startswith(f"{word}.member.")]
        for word in ("ActionNames", "ResourceArns")
    )
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        "<EvalDecision>allowed</EvalDecision><MatchedStatements/><MissingContextValues/></member>"
        for action in actions
        for resource in resources or ["*"]
    )
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{results}"
        "</EvaluationResults></SimulatePrincipalPolicyResult>"
        "<ResponseMetadata><RequestId>local</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )


def _moto(service: str) -> _Moto:
    try:
        return _loaded()
    except ModuleNotFoundError as error:
        msg = (
            f"The embedded AWS answers calls of {service!r} with moto, which is not installed: "
            "pip install 'cdao-sdk[local]'"
        )
        raise AwsError(code="NotImplemented", message=msg, status=501) from error


@functools.cache
def _loaded() -> _Moto:
    # Takes a second to import, and most sessions never need it.
    stubber: _Stubber = import_module("moto.core.botocore_stubber").BotocoreStubber()
    awsrequest = import_module("botocore.awsrequest")

    def ask(
        *, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], str | bytes] | None:
        prepared = awsrequest.AWSPreparedRequest(
            method, url, awsrequest.HeadersDict(headers), body, stream_output=False
        )
        return stubber.process_request(prepared)

    return ask
