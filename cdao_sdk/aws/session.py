"""Where AWS is, and one shared asynchronous client for each of its services."""

# flytekit and botocore ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import asyncio
import functools
import platform
import threading
import weakref
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from cdao_sdk.aws.assumed_role import assumed_role
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.rates import shared_rates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiobotocore.credentials import AioCredentialResolver

# botocore's own retries: standard mode, jittered. Few: Propeller gives a call 3 s, and what is
# throttled longer than that waits in our queue.
_RETRIES = {"mode": "standard", "total_max_attempts": 3}


class AwsClient(Protocol):
    """The little that is used of an aiobotocore client: its operations as methods."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Mapping[str, object]]]: ...


class Closing(Protocol):
    """Something that ends with the clients that it uses."""

    async def close(self) -> None: ...


ClosingT = TypeVar("ClosingT", bound=Closing)


@dataclass(frozen=True)
class AwsTarget:
    """An AWS account's endpoint, or the embedded one.

    Attributes:
        region: Region's code.
        endpoint_url: Endpoint of all services; None: AWS's own.
        access_key_id: Explicit credentials; None: AWS's own chain.
        secret_access_key: Belongs to ``access_key_id``.
        role_arn: Role to assume for every call, with the credentials above; None: none.
        external_id: What that role's trust policy asks for.
    """

    region: str
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    external_id: str | None = field(default=None, repr=False)

    @property
    def is_embedded(self) -> bool:
        """Whether this is an endpoint on this machine instead of AWS."""
        return bool(self.endpoint_url) and self.access_key_id == EMBEDDED_ACCESS_KEY


EMBEDDED_ACCESS_KEY = "local"


def embedded_target(
    url: str,
    region: str = "us-east-1",
    *,
    role_arn: str | None = None,
    external_id: str | None = None,
) -> AwsTarget:
    """The target of an embedded SageMaker, which takes any credentials."""
    key = EMBEDDED_ACCESS_KEY
    return AwsTarget(region, url, key, key, role_arn, external_id)


class AwsClients:
    """Clients of one target, made at the first use and shared; one set for each event loop.

    Making the first client of a service costs about 0.1 s of CPU (botocore reads the service's
    model), so none is made for a single call.

    Attributes:
        target: Where the calls go.
        rates: How often the target's account may be called.
    """

    def __init__(self, target: AwsTarget) -> None:
        self.target = target
        self.rates = shared_rates(target)
        self._lock = threading.Lock()
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = (
            weakref.WeakKeyDictionary()
        )

    async def client(self, service: str) -> AwsClient:
        """The shared client of a service (``"sagemaker"``, ``"s3"``, ``"logs"``)."""
        return await self._pool().client(service)

    def attached(self, kind: type[ClosingT], make: Callable[[], ClosingT]) -> ClosingT:
        """What belongs to the clients of the running loop, made at the first use.

        It is closed with them.
        """
        return self._pool().attached(kind, make)

    def _pool(self) -> _Pool:
        with self._lock:
            return self._pools.setdefault(asyncio.get_running_loop(), _Pool(self.target))

    async def close(self) -> None:
        """Close the clients of the running loop."""
        with self._lock:
            pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()


def _user_agent() -> str:
    """What AWS's logs (CloudTrail, S3's access log) tell of who called."""
    packages = (f"{name}/{version(name)}" for name in ("cdao-sdk", "aiobotocore", "botocore"))
    system = f"os/{platform.system().lower()} lang/python#{platform.python_version()}"
    return f"{' '.join(packages)} {system}"


_shared: dict[AwsTarget, AwsClients] = {}
_shared_lock = threading.Lock()


def shared_clients(target: AwsTarget) -> AwsClients:
    """The clients of a target; the same object for the same target, for the whole process."""
    with _shared_lock:
        if not _shared:
            bridge.at_exit(_close_shared)
        return _shared.setdefault(target, AwsClients(target))


async def _close_shared() -> None:
    for clients in list(_shared.values()):
        await clients.close()


@functools.cache
def _models() -> object:
    """Reads the services' models, each once a process and not once a client."""
    from aiobotocore.session import get_session

    return get_session().get_component("data_loader")


class _Pool:
    def __init__(self, target: AwsTarget) -> None:
        self._target = target
        self._stack = AsyncExitStack()
        self._clients: dict[str, asyncio.Future[AwsClient]] = {}
        self._role: AioCredentialResolver | None = None
        self._attached: dict[type[object], Closing] = {}

    def attached(self, kind: type[ClosingT], make: Callable[[], ClosingT]) -> ClosingT:
        return cast("ClosingT", self._attached.get(kind) or self._attached.setdefault(kind, make()))

    async def client(self, service: str) -> AwsClient:
        future = self._clients.get(service)
        if future is None:
            future = asyncio.ensure_future(self._open(service))
            self._clients[service] = future
        try:
            return await asyncio.shield(future)
        except BaseException:
            failed = future.done() and (future.cancelled() or future.exception() is not None)
            # Another may have made a new one by now.
            if failed and self._clients.get(service) is future:
                del self._clients[service]
            raise

    async def _open(self, service: str) -> AwsClient:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        target = self._target
        config = AioConfig(
            region_name=target.region,
            retries=_RETRIES,
            max_pool_connections=50,
            connect_timeout=5,
            read_timeout=60,
            # botocore would put its own together anew, twice for each request: a tenth of its CPU.
            user_agent=_user_agent(),
            # A proxy of the environment (HTTP_PROXY) does not know this machine's own servers.
            proxies={} if target.is_embedded else None,
        )
        session = get_session()
        session.register_component("data_loader", _models())
        keys: dict[str, str | None] = {
            "aws_access_key_id": target.access_key_id,
            "aws_secret_access_key": target.secret_access_key,
        }
        if target.role_arn:
            self._role = self._role or assumed_role(target, config)
            session.register_component("credential_provider", self._role)
            keys = {}  # those are what the role is assumed with
        is_plain = target.is_embedded and (target.endpoint_url or "").startswith("http://")
        context = session.create_client(
            service,
            endpoint_url=target.endpoint_url,
            config=config,
            # http:// has no certificate; to load those of the world takes 30 ms a client.
            verify=False if is_plain else None,
            **keys,
        )
        client = await self._stack.enter_async_context(context)
        return cast("AwsClient", client)

    async def close(self) -> None:
        while self._attached:
            await self._attached.popitem()[1].close()
        opening = [future for future in self._clients.values() if not future.done()]
        self._clients.clear()
        for future in opening:
            future.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await self._stack.aclose()
