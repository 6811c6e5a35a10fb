"""The network between here and AWS, and Flyte: names, ports, certificates, proxies, clocks."""

# botocore and grpc ship no types.
# pyright: reportAttributeAccessIssue=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from cdao_sdk._doctor.findings import failed, first_line, found, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message

    from cdao_sdk._doctor.findings import Finding
    from cdao_sdk.aws.session import AwsClients

__all__ = ["SERVICES", "Network", "flyte"]

SERVICES = ("sagemaker", "s3", "logs", "sts")
# Signatures are refused from five minutes on: AWS General Reference, "Signature Version 4".
_SKEW_REFUSED, _SKEW_ODD = 300, 60


@dataclass(frozen=True)
class _Answer:
    """What an endpoint said: how far its clock is ahead of ours, or why it said nothing."""

    service: str
    url: str
    skew_seconds: float | None = None
    problem: str = ""


class Network:
    """The endpoints of a region; each is asked once.

    Args:
        clients: The region's clients.
        limit_seconds: What one answer may take.
    """

    def __init__(self, clients: AwsClients, limit_seconds: float) -> None:
        self._clients = clients
        self._limit = limit_seconds
        self._answers: asyncio.Future[list[_Answer]] | None = None

    async def _all(self) -> list[_Answer]:
        if self._answers is None:
            self._answers = asyncio.ensure_future(self._ask())
            self._answers.add_done_callback(_seen)
        return await asyncio.shield(self._answers)

    async def _ask(self) -> list[_Answer]:
        urls = await endpoint_urls(self._clients, SERVICES)
        threads = (asyncio.to_thread(_reach, *item, self._limit) for item in urls.items())
        return list(await asyncio.gather(*threads))

    async def endpoints(self) -> Finding:
        """Whether SageMaker, S3, Logs and STS can be reached."""
        answers = await self._all()
        proxies = {proxy for answer in answers if (proxy := _proxy(answer.url))}
        through = f" through {', '.join(sorted(proxies))}" if proxies else ""
        silent = [answer for answer in answers if answer.problem]
        if not silent:
            return found("endpoints", f"{', '.join(SERVICES)} answer{through}")
        text = _grouped(silent)
        if any("certificate" in answer.problem.lower() for answer in silent):
            mend = "name your organisation's certificates: AWS_CA_BUNDLE=/path/to/bundle.pem"
        elif proxies:
            mend = "see whether the proxy lets these hosts through (HTTPS_PROXY, NO_PROXY)"
        else:
            mend = "see whether DNS and the firewall allow them; set HTTPS_PROXY behind a proxy"
        return failed("endpoints", f"{text}{through}", mend)

    async def clock(self) -> Finding:
        """Whether this machine's clock agrees with AWS's."""
        skews = [a.skew_seconds for a in await self._all() if a.skew_seconds is not None]
        if not skews:
            return skipped("clock", "no endpoint told the time")
        skew = min(skews, key=abs)
        text = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} AWS"
        if abs(skew) >= _SKEW_REFUSED:
            return failed("clock", f"{text}; AWS refuses the signatures", "set the clock by NTP")
        if abs(skew) >= _SKEW_ODD:
            return warned("clock", text, "set the clock by NTP")
        return found("clock", "it agrees with AWS")


def _seen(answers: asyncio.Future[list[_Answer]]) -> None:
    """Take note of an error for which no check waited long enough."""
    if not answers.cancelled():
        answers.exception()


def _grouped(silent: Sequence[_Answer]) -> str:
    """The problems, each once, with one host as an example."""
    groups: dict[str, list[_Answer]] = {}
    for answer in silent:
        groups.setdefault(answer.problem, []).append(answer)
    return "; ".join(
        f"{', '.join(a.service for a in answers)}: {problem} ({urlsplit(answers[0].url).netloc})"
        for problem, answers in groups.items()
    )


async def endpoint_urls(clients: AwsClients, services: Sequence[str]) -> dict[str, str]:
    """The URLs that botocore calls, whatever has set them."""
    made = {service: cast("Any", await clients.client(service)) for service in services}
    return {service: str(client.meta.endpoint_url) for service, client in made.items()}


@functools.cache
def _trust() -> ssl.SSLContext:
    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or None)


def _proxy(url: str) -> str:
    """The proxy for a URL, without what it is told of who asks."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return proxy.rpartition("@")[2].removeprefix("http://")


def _reach(service: str, url: str, limit_seconds: float) -> _Answer:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 # botocore's own URLs
    try:
        handler = urllib.request.HTTPSHandler(context=_trust())
        opener = urllib.request.build_opener(handler)
        with opener.open(request, timeout=limit_seconds) as answer:
            return _Answer(service, url, _skew(answer.headers))
    except urllib.error.HTTPError as error:
        return _Answer(service, url, _skew(error.headers))  # it answers; that is all that was asked
    except (OSError, ValueError) as error:
        return _Answer(service, url, problem=_plain(error))


def _plain(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, socket.gaierror):
        return "name not known (DNS)"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"certificate not trusted ({reason.verify_message})"
    if isinstance(reason, TimeoutError):
        return "no answer"
    if isinstance(reason, ConnectionRefusedError):
        return "nobody listens there"
    return first_line(reason) if isinstance(reason, BaseException) else str(reason)


def _skew(headers: Message) -> float | None:
    date = headers.get("Date")
    if not date:
        return None
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (told - datetime.now(timezone.utc)).total_seconds()


async def flyte(endpoint: str, *, insecure: bool, limit_seconds: float) -> Finding:
    """Whether FlyteAdmin can be reached."""
    host = endpoint.partition("://")[2].lstrip("/") if "://" in endpoint else endpoint
    host = host.rstrip("/")
    address = host if ":" in host else f"{host}:{80 if insecure else 443}"
    problem = await asyncio.to_thread(_health, address, limit_seconds, insecure=insecure)
    how = "without TLS" if insecure else "with TLS"
    if problem:
        mend = "see admin_endpoint, insecure, the VPN and the certificates; `flytectl get project`"
        return failed("flyte", f"{address} {how}: {problem}", mend)
    return found("flyte", f"{address} answers {how}")


def _health(address: str, limit_seconds: float, *, insecure: bool) -> str:
    """Why there is no answer; empty if there is one."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    if insecure:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials())
    try:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        answer = stub.Check(request, timeout=limit_seconds * 0.8, wait_for_ready=False)
    except grpc.RpcError as error:
        code = error.code()
        # Whoever answers so is there: it lacks the health service, or wants to know who asks.
        talks = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED,
                 grpc.StatusCode.PERMISSION_DENIED)  # fmt: skip
        return "" if code in talks else f"{code.name.lower()}: {error.details()}"
    finally:
        channel.close()
    serving = health_pb2.HealthCheckResponse.SERVING
    return "" if answer.status == serving else "it says that it is not serving"
