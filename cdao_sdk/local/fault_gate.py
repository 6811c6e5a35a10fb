"""Where faults strike requests: before a call takes effect, and after it has.

A request may bring a fault of its own in the header `x-cdao-fault`: a rule as JSON, or the bare
name of a fault. Such a rule's counts are those of the client's own tries.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from cdao_sdk.local.errors import AwsError, ValidationFailed
from cdao_sdk.local.faults import FaultsRefused, parse_rule
from cdao_sdk.local.injection import Call
from cdao_sdk.local.s3.application import operation_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.wrappers import Request, Response

    from cdao_sdk.local.faults import Rule
    from cdao_sdk.local.injection import Injector

HEADER = "x-cdao-fault"

_ATTEMPT = re.compile(r"attempt=(\d+)")
_SENT = "%Y%m%dT%H%M%SZ"
# How far a request's time may be from AWS's own: Signature Version 4, and S3's answer
# RequestTimeTooSkewed. Source: AWS's references, November 2026.
_LEEWAY_SECONDS = 300
_S3_LEEWAY_SECONDS = 900

# (what, whether of S3) → code, message, status. Source: common errors of both API references.
_ANSWERS = {
    ("throttling", False): ("ThrottlingException", "Rate exceeded", 400),
    ("throttling", True): ("SlowDown", "Please reduce your request rate.", 503),
    ("InternalFailure", False): (
        "InternalFailure",
        "The request processing has failed because of an unknown error, exception or failure.",
        500,
    ),
    ("InternalFailure", True): (
        "InternalError",
        "We encountered an internal error. Please try again.",
        500,
    ),
    ("ServiceUnavailable", False): (
        "ServiceUnavailable",
        "The request has failed due to a temporary failure of the server.",
        503,
    ),
    ("ServiceUnavailable", True): ("ServiceUnavailable", "Please reduce your request rate.", 503),
}


class ConnectionDropped(Exception):
    """The client is to get no answer: its connection ends here."""


def call_of(request: Request, service: str) -> Call:
    """What rules look at of a request; `service` is the one it is signed for.

    Raises:
        ValidationFailed: the header with the request's own fault is not valid.
    """
    operation, name = _named(request, service)
    attempt = _ATTEMPT.search(request.headers.get("amz-sdk-request", ""))
    return Call(
        operation=operation,
        name=name,
        own=_own(request),
        attempt=int(attempt[1]) if attempt else 1,
    )


class Struck:
    """One request and the faults that strike it."""

    def __init__(self, call: Call, request: Request, rules: Sequence[Rule], *, is_s3: bool) -> None:
        self.call = call
        self._request = request
        self._rules = rules
        self._is_s3 = is_s3
        self._skew = sum(rule.seconds for rule in rules if rule.fault == "clock_skew")

    def before(self) -> None:
        """What happens before the call takes effect.

        Raises:
            AwsError: the answer that the client gets instead.
            ConnectionDropped: it gets none.
        """
        time.sleep(sum(rule.seconds for rule in self._rules if rule.fault == "latency"))
        if self._skew:
            self._check_time()
        self._strike("before")

    def after(self) -> None:
        """What happens once it has; raises as `before`."""
        self._strike("after")

    def stamp(self, response: Response) -> Response:
        """Put the time of a clock that is off on an answer."""
        if self._skew:
            response.headers["Date"] = format_datetime(self._now(), usegmt=True)
        return response

    def _strike(self, moment: str) -> None:
        for rule in self._rules:
            if rule.fault == "throttling" and moment == "before":
                raise self._answer(rule)
            if rule.when == moment and rule.fault == "server_error":
                raise self._answer(rule)
            if rule.when == moment and rule.fault == "dropped_connection":
                raise ConnectionDropped

    def _answer(self, rule: Rule) -> AwsError:
        what = rule.code if rule.fault == "server_error" else rule.fault
        code, message, status = _ANSWERS[what, self._is_s3]
        return AwsError(code=code, message=message, status=status)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self._skew, timezone.utc)

    def _check_time(self) -> None:
        sent = self._request.headers.get("X-Amz-Date", "")
        try:
            at = datetime.strptime(sent, _SENT).replace(tzinfo=timezone.utc)
        except ValueError:
            return  # unsigned
        now = self._now()
        off = (at - now).total_seconds()
        if self._is_s3 and abs(off) > _S3_LEEWAY_SECONDS:
            msg = "The difference between the request time and the current time is too large."
            raise AwsError(code="RequestTimeTooSkewed", message=msg, status=403)
        if not self._is_s3 and abs(off) > _LEEWAY_SECONDS:
            raise _bad_time(at, now)


def _bad_time(at: datetime, now: datetime) -> AwsError:
    early = at < now
    bound = now.timestamp() + (-_LEEWAY_SECONDS if early else _LEEWAY_SECONDS)
    edge = datetime.fromtimestamp(bound, timezone.utc)
    if early:
        msg = f"Signature expired: {at:{_SENT}} is now earlier than {edge:{_SENT}}"
    else:
        msg = f"Signature not yet current: {at:{_SENT}} is still later than {edge:{_SENT}}"
    msg += f" ({now:{_SENT}} {'-' if early else '+'} 5 min.)"
    return AwsError(code="InvalidSignatureException", message=msg)


def strike(injector: Injector, request: Request, service: str, *, is_s3: bool) -> Struck | None:
    """The faults of a request; None where there can be none.

    Raises:
        ValidationFailed: the header with the request's own fault is not valid.
    """
    if injector.is_idle and HEADER not in request.headers:
        return None
    call = call_of(request, "s3" if is_s3 else service)
    return Struck(call, request, injector.for_request(call), is_s3=is_s3)


def _own(request: Request) -> Rule | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    try:
        return parse_rule(given)
    except FaultsRefused as error:
        msg = f"The header {HEADER} is not valid: {'; '.join(error.problems)}"
        raise ValidationFailed(msg) from error


def _named(request: Request, service: str) -> tuple[str, str]:
    """Operation and name of what a request is about."""
    prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
    if operation:
        service = prefix.partition("_")[0].lower()
        spelled = operation if service == "sagemaker" else f"{service}:{operation}"
        return spelled, _name_in(request.get_data())
    if service == "s3":
        return f"s3:{operation_of(request)}", request.path.lstrip("/")
    action = parse_qs(request.get_data().decode("latin-1")).get("Action", [request.method])[0]
    return f"{service or 'sts'}:{action}", ""


def _name_in(body: bytes) -> str:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return ""  # refused as such by the service itself
    if not isinstance(document, dict):
        return ""
    given = cast("dict[str, Any]", document)
    names = [name for name in given if name.endswith("JobName")] or ["ModelName"]
    return str(given.get(names[0], ""))
