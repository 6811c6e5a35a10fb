"""The service on Kubernetes: Deployment, Service and ServiceAccount as YAML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ManifestOptions", "render_manifest"]

_NAME = re.compile(r"[a-z]([a-z0-9\-]{0,50}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = 65_532  # any that is not root; images need not know it
_GRACE_SECONDS = 20
# Endpoints hear of a pod's end a little after the pod does.
_PRE_STOP_SECONDS = 5


@dataclass(frozen=True)
class ManifestOptions:
    """What differs from cluster to cluster.

    Attributes:
        image: An image with cdao-sdk installed.
        name: Name of all objects.
        namespace: Where they go.
        replicas: Pods.
        role_arn: IAM role of the pods, by IRSA; None: they get theirs in another way.
        environment: Settings for the pods, as variables.
        port: Port of gRPC.
        metrics_port: Port of Prometheus' metrics.
        memory: Memory that a pod asks for and is limited to.
        cpu: CPU that a pod asks for.
    """

    image: str
    name: str = "cdao-connector"
    namespace: str = "flyte"
    replicas: int = 2
    role_arn: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = 8000
    metrics_port: int = 9090
    memory: str = "512Mi"
    cpu: str = "250m"


def render_manifest(options: ManifestOptions) -> str:
    """The objects as YAML, one document each.

    Raises:
        ConfigurationError: A name is not one that Kubernetes takes.
    """
    _check(options)
    documents = [
        _service_account(options),
        _service(options),
        _disruption_budget(options),
        _deployment(options),
    ]
    head = "# The CDAO SDK's connector; `cdao connector manifest` wrote it.\n"
    return head + "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in documents)


def _check(options: ManifestOptions) -> None:
    problems = [
        f"{what}={value!r}: use a-z, 0-9 and '-', beginning with a letter (≤ 52)."
        for what, value in (("name", options.name), ("namespace", options.namespace))
        if not _NAME.fullmatch(value)
    ]
    problems += [
        f"{name!r} is not a variable's name."
        for name in options.environment
        if not _VARIABLE.fullmatch(name)
    ]
    if not options.image or any(character.isspace() for character in options.image):
        problems.append(f"image={options.image!r}: give registry/path:tag.")
    if problems:
        msg = "The manifest cannot be written."
        raise ConfigurationError(msg, problems=problems)


def _metadata(options: ManifestOptions, **annotations: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": options.name,
        "namespace": options.namespace,
        "labels": _labels(options),
    }
    if annotations:
        metadata["annotations"] = annotations
    return metadata


def _labels(options: ManifestOptions) -> dict[str, str]:
    return {"app.kubernetes.io/name": options.name, "app.kubernetes.io/part-of": "flyte"}


def _service_account(options: ManifestOptions) -> dict[str, Any]:
    role = {"eks.amazonaws.com/role-arn": options.role_arn} if options.role_arn else {}
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(options, **role),
        "automountServiceAccountToken": False,  # it has nothing to ask of Kubernetes
    }


def _service(options: ManifestOptions) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(options),
        "spec": {
            # Headless: one address would tie Propeller's connection to one pod.
            "clusterIP": "None",
            "selector": _labels(options),
            "ports": [{"name": "grpc", "port": options.port, "targetPort": "grpc"}],
        },
    }


def _disruption_budget(options: ManifestOptions) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(options),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(options)}},
    }


def _deployment(options: ManifestOptions) -> dict[str, Any]:
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(options.metrics_port),
        "prometheus.io/path": "/metrics",
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(options),
        "spec": {
            "replicas": options.replicas,
            "selector": {"matchLabels": _labels(options)},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": _labels(options), "annotations": annotations},
                "spec": _pod(options),
            },
        },
    }


def _pod(options: ManifestOptions) -> dict[str, Any]:
    return {
        "serviceAccountName": options.name,
        # Variables such as CDAO_CONNECTOR_PORT, for each service of the namespace: not wanted.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS + _PRE_STOP_SECONDS + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(options)},
            }
        ],
        "containers": [_container(options)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
    }


def _container(options: ManifestOptions) -> dict[str, Any]:
    port, metrics_port = options.port, options.metrics_port
    arguments = ["--host", "0.0.0.0", "--port", str(port), "--metrics-port", str(metrics_port)]  # noqa: S104 # in a pod of its own
    home = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108 # the one folder that can be written
    return {
        "name": "connector",
        "image": options.image,
        "command": ["cdao", "connector", "serve"],
        "args": [*arguments, "--grace", str(_GRACE_SECONDS), "--log-format", "json"],
        "env": [
            {"name": name, "value": value}
            for name, value in {**home, **options.environment}.items()
        ],
        "ports": [
            {"name": "grpc", "containerPort": port},
            {"name": "metrics", "containerPort": metrics_port},
        ],
        # Loading takes some seconds, on a busy node more.
        "startupProbe": _probe(port, periodSeconds=2, failureThreshold=60),
        "readinessProbe": _probe(port, periodSeconds=5),
        "livenessProbe": _probe(port, periodSeconds=20, failureThreshold=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_PRE_STOP_SECONDS)]}}},
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory},
            "limits": {"memory": options.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 # see above
    }


def _probe(port: int, **times: int) -> dict[str, Any]:
    return {"grpc": {"port": port}, "timeoutSeconds": 5, **times}
