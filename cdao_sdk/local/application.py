"""The WSGI application: every request to the service that it is for.

One endpoint stands for all of AWS. A request names its service by the scope of its signature, or by
its target; what names none is S3's.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Protocol

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request, Response

from cdao_sdk.local import admin, other_services
from cdao_sdk.local.errors import AwsError
from cdao_sdk.local.fault_gate import ConnectionDropped, strike
from cdao_sdk.local.http_server import DROP
from cdao_sdk.local.incoming import CHUNK_BYTES
from cdao_sdk.local.s3 import documents
from cdao_sdk.local.s3.call import new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from cdao_sdk.local.cloudwatch_metrics import JobMetrics
    from cdao_sdk.local.faults import Rule
    from cdao_sdk.local.injection import Injector
    from cdao_sdk.local.s3.application import S3Application

DEFAULT_REGION = "us-east-1"
_SCOPE = re.compile(r"/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_S3 = {"s3", "s3express", "s3-object-lambda"}

_logger = logging.getLogger(__name__)


class JsonService(Protocol):
    """A service of the JSON protocol: answers an operation, or raises AwsError."""

    def answer(
        self, operation: str, body: bytes, region: str, own: Rule | None = None, /
    ) -> Mapping[str, Any]:
        """Answer one call; `own` is the fault that the request itself brings along."""
        ...


class Application:
    """Answers HTTP requests.

    Args:
        s3: S3.
        targets: The services of the JSON protocol by target prefix.
        injector: The faults that requests meet.
        metrics: CloudWatch's metrics of jobs.
        own: Answers the server's own paths.
    """

    def __init__(
        self,
        *,
        s3: S3Application,
        targets: Mapping[str, JsonService],
        injector: Injector,
        metrics: JobMetrics,
        own: Callable[[Request], Response],
    ) -> None:
        self._s3 = s3
        self._targets = targets
        self._injector = injector
        self._metrics = metrics
        self._own = own

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        request = Request(environ)
        try:
            response = self._answer(request)
            _drain(request)
        except ClientDisconnected:
            _logger.info("a client went away in the midst of %s %s", request.method, request.path)
            response = Response(status=400, headers={"Connection": "close"})
        except ConnectionDropped:
            _drain(request)
            environ[DROP]()
            response = Response(status=500, headers={"Connection": "close"})
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path.startswith(admin.PREFIX):
            return self._own(request)
        region, service = _scope(request)
        is_s3 = _is_s3(request, service)
        try:
            struck = strike(self._injector, request, service, is_s3=is_s3)
        except AwsError as error:
            return _refused(request, error, is_s3=is_s3)
        if struck is None:
            return self._real_answer(request, region, service)
        try:
            struck.before()
            response = self._real_answer(request, region, service, struck.call.own)
            try:
                struck.after()
            except (AwsError, ConnectionDropped):
                response.close()  # an object's file, perhaps
                raise
        except AwsError as error:
            response = _refused(request, error, is_s3=is_s3)
        return struck.stamp(response)

    def _real_answer(
        self, request: Request, region: str, service: str, own: Rule | None = None
    ) -> Response:
        try:
            return self._served(request, region, service, own)
        except AwsError as error:
            return _refused(request, error)
        except ClientDisconnected:
            raise
        except Exception as error:
            _logger.exception("request failed inside the embedded AWS: %s", request.path)
            msg = f"{type(error).__name__}: {error}"
            failure = AwsError(code="InternalFailure", message=msg, status=500)
            return _refused(request, failure, is_s3=_is_s3(request, service))

    def _served(
        self, request: Request, region: str, service: str, own: Rule | None = None
    ) -> Response:
        metrics = self._metrics.answer(request)
        if metrics is not None:
            return metrics
        prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        target = self._targets.get(prefix)
        if target:
            return _json(target.answer(operation, request.get_data(), region, own))
        if _is_s3(request, service):
            return self._s3(request, region)
        if service == "sagemaker":
            msg = f"The embedded SageMaker does not offer {request.method} {request.path} yet."
            raise AwsError(code="UnsupportedOperation", message=msg)
        return other_services.answer(request, service=service, region=region)


def _is_s3(request: Request, service: str) -> bool:
    if service:
        return service in _S3
    return "X-Amz-Target" not in request.headers and not other_services.is_query(request)


def _scope(request: Request) -> tuple[str, str]:
    """Region and service that a request is signed for; the service is empty where none is named."""
    signed = request.headers.get("Authorization", "") or request.args.get("X-Amz-Credential", "")
    match = _SCOPE.search(signed)
    return (match[1], match[2]) if match else (DEFAULT_REGION, "")


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    body = json.dumps(document, separators=(",", ":"))
    headers = {"x-amzn-RequestId": new_request_id()}
    return Response(body, status=status, headers=headers, content_type="application/x-amz-json-1.1")


def _refused(request: Request, error: AwsError, *, is_s3: bool = False) -> Response:
    if is_s3:
        return documents.refusal(error, resource=request.path, request_id=new_request_id())
    if other_services.is_query(request):
        return other_services.refusal(error)
    return _json({"__type": error.code, "message": error.message}, error.status)


def _drain(request: Request) -> None:
    """Read what a refused call left of its body: the client may still be sending it."""
    while request.stream.read(CHUNK_BYTES):
        pass
