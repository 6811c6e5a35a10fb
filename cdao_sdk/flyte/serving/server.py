"""The server's life: bind, load, serve, stop."""

# grpc ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import (
    aio as health_aio,  # pyright: ignore[reportAttributeAccessIssue] # it is there on Python >= 3.6
)
from grpc_reflection.v1alpha import reflection

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.services import services_from_settings
from cdao_sdk.flyte.serving.addresses import bind_problem, joined, why_not_bound
from cdao_sdk.flyte.serving.calls import Calls, Limits
from cdao_sdk.flyte.serving.metrics import Metrics, MetricsServer
from cdao_sdk.flyte.serving.open_jobs import OpenJobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

__all__ = ["ConnectorServer", "ServerOptions"]

logger = logging.getLogger(__name__)

_MIB = 1024 * 1024
# Calls that are refused still need a place in gRPC, and probes always do.
_PLACES_BESIDE = 256
_LAST_ANSWER_SECONDS = 0.5  # until the last answers are on the wire


@dataclass(frozen=True)
class ServerOptions:
    """How the service is served; the options of ``cdao connector serve``.

    Attributes:
        host: Address to listen on.
        port: Its port; 0 takes a free one.
        metrics_port: Port of Prometheus' metrics; 0: none.
        max_concurrent: Calls that are worked on at once.
        max_message_mb: A larger request is refused.
        grace_seconds: Time for calls in flight when the service stops.
        tls_cert: Certificate chain in PEM; None: no TLS.
        tls_key: Its key.
        ready_file: Written once the service serves: JSON with address, port and process.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    metrics_port: int = 9090
    max_concurrent: int = 128
    max_message_mb: int = 16
    grace_seconds: float = 20.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    ready_file: Path | None = None


@dataclass
class ConnectorServer:
    """One service in this process.

    Args:
        options: How it is served.
        at_end: Called when calls in flight are done, before the AWS clients are closed.
        on_loaded: Called once flytekit is loaded.

    Attributes:
        port: The port that is listened on, once it is bound.
    """

    options: ServerOptions
    at_end: Sequence[Callable[[], Awaitable[None]]] = ()
    on_loaded: Callable[[], None] = lambda: None
    port: int = 0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; calls in flight are finished first.

        Raises:
            ConfigurationError: An address cannot be had, a file of TLS not be read, or the
                settings are wrong.
        """
        started = time.perf_counter()
        options = self.options
        self._heed_signals()
        server = grpc.aio.server(
            options=channel_options(options),
            maximum_concurrent_rpcs=options.max_concurrent + Limits.waiting + _PLACES_BESIDE,
        )
        # The addresses first: who gave a wrong one hears of it before the slow part.
        self.port = _bind(server, options)
        with contextlib.ExitStack() as stack:
            if options.metrics_port:
                stack.callback(MetricsServer(options.host, options.metrics_port).close)
            services_from_settings()  # wrong settings are told before the slow part, too
            jobs = OpenJobs()
            metrics = Metrics(jobs)
            calls = Calls(metrics, Limits(concurrent=options.max_concurrent))
            health = health_aio.HealthServicer()
            _add_services(server, calls, jobs, health)
            self._heed_signals()  # flytekit, loaded, has put its own handler in place
            self.on_loaded()
            await _prepare()
            for name in health_names():
                await health.set(name, health_pb2.HealthCheckResponse.SERVING)
            await server.start()
            metrics.serving.set(1)
            self._tell_ready(time.perf_counter() - started)
            await self._stop.wait()
            metrics.serving.set(0)
            await self._finish(server, calls, health)

    def stop(self) -> None:
        """Begin to stop, as SIGTERM does."""
        self._stop.set()

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def _tell_ready(self, seconds: float) -> None:
        options = self.options
        facts = {
            "address": joined(options.host, self.port),
            "host": options.host,
            "port": self.port,
            "metrics_port": options.metrics_port or None,
            "tls": options.tls_cert is not None,
            "pid": os.getpid(),
        }
        logger.info(
            "The connector serves at %s.",
            facts["address"],
            extra={"event": "serving", "seconds": round(seconds, 2), **facts},
        )
        if options.ready_file:
            whole = options.ready_file.with_name(f"{options.ready_file.name}.{os.getpid()}")
            whole.write_text(json.dumps(facts), encoding="utf-8")
            whole.replace(options.ready_file)  # never seen half written

    async def _finish(
        self, server: grpc.aio.Server, calls: Calls, health: health_aio.HealthServicer
    ) -> None:
        grace = self.options.grace_seconds
        self._stop.clear()
        logger.info("Stopping: calls in flight are finished.", extra={"event": "stopping"})
        await health.enter_graceful_shutdown()
        refusing = asyncio.ensure_future(server.stop(grace))
        # gRPC itself would wait for clients that watch the health, too.
        idle, again = asyncio.ensure_future(calls.idle()), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({refusing, idle, again}, return_when=asyncio.FIRST_COMPLETED)
        if again.done():
            logger.warning("Told to stop again: calls in flight are given up.")
        await server.stop(None if again.done() else _LAST_ANSWER_SECONDS)
        for task in (refusing, idle, again):
            task.cancel()
        await asyncio.gather(refusing, idle, again, return_exceptions=True)
        for end in (*self.at_end, _close_connectors, _close_clients):
            try:
                await asyncio.wait_for(end(), grace or 1)
            except Exception:
                logger.exception("Something was not closed.", extra={"event": "stopping"})
        if self.options.ready_file:
            self.options.ready_file.unlink(missing_ok=True)
        logger.info("Stopped.", extra={"event": "stopped"})


def health_names() -> tuple[str, ...]:
    """The names under which a probe may ask: the whole server, and each service."""
    from cdao_sdk.flyte.serving.service import SERVICE_NAMES

    return ("", *SERVICE_NAMES)


def channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    """gRPC's own settings for the server; names as in grpc_types.h."""
    return [
        ("grpc.so_reuseport", 0),  # two services on one port would share the calls unseen
        ("grpc.max_receive_message_length", options.max_message_mb * _MIB),
        ("grpc.max_metadata_size", 16 * 1024),
        # What a call sends before it is read is 64 KB at most, and not whole messages.
        ("grpc.http2.bdp_probe", 0),
        # A client that vanished without a word is noticed; a client's own pings are welcome.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Propeller looks for new replicas when a connection ends; gRPC adds 10 % of chance.
        ("grpc.max_connection_age_ms", 300_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
    ]


def _bind(server: grpc.aio.Server, options: ServerOptions) -> int:
    address = joined(options.host, options.port)
    try:
        if options.tls_cert and options.tls_key:
            return server.add_secure_port(address, _credentials(options.tls_cert, options.tls_key))
        return server.add_insecure_port(address)
    except RuntimeError as error:  # gRPC says no more than that it failed
        reason = bind_problem(options.host, options.port) or OSError(str(error))
        msg = why_not_bound(options.host, options.port, reason, "--port")
        raise ConfigurationError(msg) from error


def _credentials(cert: Path, key: Path) -> grpc.ServerCredentials:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)  # gRPC checks nothing
        return grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    except (OSError, ssl.SSLError) as error:
        msg = f"--tls-cert {cert} and --tls-key {key} cannot be used: {error}"
        raise ConfigurationError(msg) from error


def _add_services(
    server: grpc.aio.Server, calls: Calls, jobs: OpenJobs, health: health_aio.HealthServicer
) -> None:
    # flytekit takes most of the start; it brings our connectors by its entry point.
    import flytekit  # noqa: F401 # pyright: ignore[reportUnusedImport]

    from cdao_sdk.flyte.serving.service import SERVICE_NAMES, ConnectorService, served_connectors

    service = ConnectorService(
        served_connectors(), calls, jobs, lambda: services_from_settings().clients
    )
    server.add_generic_rpc_handlers(service.handlers())
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (*SERVICE_NAMES, HEALTH, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


async def _prepare() -> None:
    """Do what the first calls would wait for: check the settings, open AWS clients.

    What an earlier process has left waits for no call either: there may never be one.
    """
    from botocore.exceptions import BotoCoreError

    from cdao_sdk.flyte.serving.service import served_connectors

    clients = services_from_settings().clients
    try:
        for service in ("sagemaker", "s3", "logs"):
            await clients.client(service)
    except BotoCoreError as error:
        msg = f"No AWS client can be made: {error}"
        raise ConfigurationError(msg) from error
    for served in served_connectors().values():
        served.connector.begin()
    # All that is loaded now stays; the collector need not walk it again and again.
    gc.collect()
    gc.freeze()


async def _close_connectors() -> None:
    """Requests that are kept are sent by another replica; nothing is begun any more."""
    from cdao_sdk.flyte.serving.service import served_connectors

    for served in served_connectors().values():
        await served.connector.close()


async def _close_clients() -> None:
    await services_from_settings().clients.close()
