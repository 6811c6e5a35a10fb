"""Kubernetes' objects for the service."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.serving.manifest import ManifestOptions, render_manifest
from cdao_sdk.settings import gather

ROLE = "arn:aws:iam::123456789012:role/FlyteConnector"


def rendered(**options: Any) -> dict[str, dict[str, Any]]:
    text = render_manifest(ManifestOptions(**{"image": "registry.example.com/cdao:1", **options}))
    assert "&id" not in text  # people read it
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_objects_belong_together() -> None:
    objects = rendered(name="sagemaker", namespace="ml", replicas=3)
    assert set(objects) == {"ServiceAccount", "Service", "Deployment", "PodDisruptionBudget"}
    for each in objects.values():
        assert (each["metadata"]["name"], each["metadata"]["namespace"]) == ("sagemaker", "ml")
    spec = objects["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert labels == spec["selector"]["matchLabels"] == objects["Service"]["spec"]["selector"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["serviceAccountName"] == "sagemaker"


def test_the_service_has_no_address_of_its_own() -> None:
    assert rendered()["Service"]["spec"]["clusterIP"] == "None"


def test_pods_can_do_little() -> None:
    pod = rendered()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert rendered()["ServiceAccount"]["automountServiceAccountToken"] is False


def test_a_pod_outlives_its_calls_in_flight() -> None:
    pod = rendered()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]
    grace = float(arguments[arguments.index("--grace") + 1])
    before_stop = float(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["terminationGracePeriodSeconds"] > grace + before_stop
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": 8000}


def test_role_and_settings_reach_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = rendered(role_arn=ROLE, environment={"CDAO_REGION": "eu-west-1"})
    annotations = objects["ServiceAccount"]["metadata"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": ROLE}
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert gather().settings.region == "eu-west-1"  # and no variable is one too many
    assert "annotations" not in rendered()["ServiceAccount"]["metadata"]


def test_arguments_are_those_of_the_command() -> None:
    from cdao_sdk.cli.connector import connector

    (container,) = rendered()["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["cdao", "connector", "serve"]
    context = connector.commands["serve"].make_context("serve", list(container["args"]))
    assert (context.params["host"], context.params["port"]) == ("0.0.0.0", 8000)  # noqa: S104 # in a pod


@pytest.mark.parametrize(
    "options",
    [
        {"image": ""},
        {"image": "a b"},
        {"name": "Connector"},
        {"name": "a\n---\nkind: Secret"},
        {"namespace": "-"},
        {"environment": {"A B": "x"}},
    ],
)
def test_what_kubernetes_would_refuse_is_refused_here(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        rendered(**options)
