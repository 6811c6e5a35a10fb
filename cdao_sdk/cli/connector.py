"""``cdao connector``: the service beside Propeller, and what has to be deployed for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import rich_click

from cdao_sdk.errors import ConfigurationError

__all__ = ["connector"]

_file = click.Path(path_type=Path, dir_okay=False)


@rich_click.group()
def connector() -> None:
    """Serve Flyte's Propeller: the service that makes SageMaker jobs of tasks.

    \b
    Example:
      cdao connector manifest --image registry.example.com/cdao:1 > connector.yaml
      cdao connector config --jobs 2000 > propeller.yaml
      cdao connector serve --host 0.0.0.0
    """


@connector.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of gRPC; 0 takes a free one.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=9090,
    show_default=True,
    help="Port of Prometheus' metrics; 0: none.",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(1, 10_000),
    default=128,
    show_default=True,
    help="Calls that are worked on at once; more wait.",
)
@click.option(
    "--max-message-mb",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="A larger request is refused.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=20,
    show_default=True,
    help="Seconds for calls in flight when the service is told to stop.",
)
@click.option("--tls-cert", type=_file, help="Certificate chain (PEM); with --tls-key.")
@click.option("--tls-key", type=_file, help="Its key (PEM).")
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    help="Default: text on a terminal, else json.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="debug has a line for each call.",
)
@click.option("--ready-file", type=_file, help="Written once it serves: address, port, process.")
def serve(
    *,
    host: str,
    port: int,
    metrics_port: int,
    max_concurrent: int,
    max_message_mb: int,
    grace: float,
    tls_cert: Path | None,
    tls_key: Path | None,
    log_format: str | None,
    log_level: str,
    ready_file: Path | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    \b
    AWS, role, bucket and allow lists come from the settings. The health service
    says SERVING once all is loaded. Told to stop, it says NOT_SERVING, takes no
    more calls, finishes those in flight and ends with exit code 0.
    \b
    Examples:
      cdao connector serve
      cdao connector serve --host 0.0.0.0 --metrics-port 9090
      cdao connector serve --port 0 --metrics-port 0 --ready-file ready.json
    """
    if (tls_cert is None) != (tls_key is None):
        msg = "TLS needs both --tls-cert and --tls-key."
        raise ConfigurationError(msg)
    if port and port == metrics_port:
        msg = f"--port and --metrics-port are both {port}; give them different ports."
        raise ConfigurationError(msg)
    # gRPC's C library writes lines of its own to stderr; what matters comes as an error of ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import asyncio

    from cdao_sdk.flyte.serving.logs import adopt_flytekit_loggers, configure_logs
    from cdao_sdk.flyte.serving.server import ConnectorServer, ServerOptions

    chosen = log_format or ("text" if sys.stdout.isatty() else "json")
    configure_logs("json" if chosen == "json" else "text", log_level)
    if host in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"Only this machine can reach {host}; in a container: --host 0.0.0.0", err=True)
    options = ServerOptions(
        host=host,
        port=port,
        metrics_port=metrics_port,
        max_concurrent=max_concurrent,
        max_message_mb=max_message_mb,
        grace_seconds=grace,
        tls_cert=tls_cert,
        tls_key=tls_key,
        ready_file=ready_file,
    )
    asyncio.run(ConnectorServer(options, on_loaded=adopt_flytekit_loggers).run())
