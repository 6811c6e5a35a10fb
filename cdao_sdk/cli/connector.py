"""``cdao connector``: the service beside Propeller, and what has to be deployed for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import rich_click

from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cdao_sdk.flyte.serving.propeller_config import Chart

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


@connector.command()
@click.option(
    "--endpoint",
    default="dns:///cdao-connector.flyte.svc.cluster.local:8000",
    show_default=True,
    help="The service's address.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    help="Open jobs that are expected at once.",
)
@click.option(
    "--resync",
    type=click.IntRange(5, 3600),
    default=30,
    show_default=True,
    help="Seconds between two looks at a job.",
)
@click.option("--insecure/--tls", default=True, show_default=True, help="How Propeller connects.")
@click.option(
    "--max-message-mb",
    type=click.IntRange(1, 1024),
    default=16,
    show_default=True,
    help="Largest answer; as `serve` has it.",
)
@click.option(
    "--chart",
    type=click.Choice(["none", "flyte-binary", "flyte-core"]),
    default="none",
    show_default=True,
    help="Write values for this Helm chart.",
)
def config(
    *, endpoint: str, jobs: int, resync: int, insecure: bool, max_message_mb: int, chart: str
) -> None:
    """Write Propeller's configuration.

    \b
    For Flyte 1.16: routes, timeouts, retries, rates and workers for so many open
    jobs. Comments say why each value is what it is.
    \b
    Examples:
      cdao connector config --jobs 5000
      cdao connector config --chart flyte-binary > values-connector.yaml
    """
    from cdao_sdk.flyte.serving.propeller_config import PropellerOptions, render_propeller_config

    options = PropellerOptions(
        endpoint=endpoint,
        jobs=jobs,
        resync_seconds=resync,
        insecure=insecure,
        max_message_mb=max_message_mb,
        chart=cast("Chart", chart),
    )
    click.echo(render_propeller_config(options), nl=False)


@connector.command()
@click.option("--image", required=True, help="Image with cdao-sdk installed.")
@click.option("--name", default="cdao-connector", show_default=True, help="Name of all objects.")
@click.option("--namespace", default="flyte", show_default=True, help="Where they go.")
@click.option("--replicas", type=click.IntRange(1, 100), default=2, show_default=True, help="Pods.")
@click.option("--role-arn", help="IAM role of the pods (IRSA).")
@click.option("--memory", default="512Mi", show_default=True, help="Memory of a pod.")
@click.option("--cpu", default="250m", show_default=True, help="CPU that a pod asks for.")
@click.option(
    "--env",
    "environment",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the pods, such as CDAO_REGION=eu-west-1. May be repeated.",
)
def manifest(
    *,
    image: str,
    name: str,
    namespace: str,
    replicas: int,
    role_arn: str | None,
    memory: str,
    cpu: str,
    environment: tuple[str, ...],
) -> None:
    """Write Kubernetes' objects for the service.

    \b
    Deployment, headless Service, ServiceAccount and PodDisruptionBudget: not
    root, nothing writable but /tmp, probes by gRPC, room for calls in flight.
    \b
    Example:
      cdao connector manifest --image registry.example.com/cdao:1 \\
        --role-arn arn:aws:iam::123456789012:role/FlyteConnector \\
        --env CDAO_SAGEMAKER_ROLE=arn:aws:iam::123456789012:role/SageMaker \\
        --env CDAO_REGION=eu-west-1 | kubectl apply -f -
    """
    from cdao_sdk.flyte.serving.manifest import ManifestOptions, render_manifest

    pairs = [pair.partition("=") for pair in environment]
    if wrong := [pair for pair, equals, _ in pairs if not equals]:
        msg = f"--env {wrong[0]!r} is not NAME=VALUE."
        raise ConfigurationError(msg)
    options = ManifestOptions(
        image=image,
        name=name,
        namespace=namespace,
        replicas=replicas,
        role_arn=role_arn,
        memory=memory,
        cpu=cpu,
        environment={key: value for key, _, value in pairs},
    )
    click.echo(render_manifest(options), nl=False)
