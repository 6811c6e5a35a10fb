"""Propeller's configuration: keys and limits as Flyte 1.16.8 reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.serving.propeller_config import (
    PropellerOptions,
    render_propeller_config,
    service_config,
)
from cdao_sdk.kinds.registry import KINDS

TYPES = [kind.task_type for kind in KINDS.values()]


def rendered(**options: Any) -> dict[str, Any]:
    return yaml.safe_load(render_propeller_config(PropellerOptions(**options)))


@pytest.mark.parametrize("jobs", [1, 50, 1_000, 10_000, 100_000])
@pytest.mark.parametrize("resync", [5, 30, 3_600])
def test_numbers_are_within_what_flyte_accepts(jobs: int, resync: int) -> None:
    api = rendered(jobs=jobs, resync_seconds=resync)["plugins"]["connector-service"]["webApi"]
    limiter, caching = api["readRateLimiter"], api["caching"]
    assert 5 <= limiter["burst"] <= 10_000
    assert 1 <= limiter["qps"] <= 100_000
    assert 1 <= caching["workers"] <= 10_000
    assert caching["resyncInterval"] == f"{resync}s"
    # All jobs are read within an interval, with room for new ones.
    assert limiter["qps"] * resync >= 2 * jobs
    assert api["resourceQuotas"]["default"] == jobs


def test_every_type_is_routed_even_while_the_connector_is_away() -> None:
    document = rendered(endpoint="dns:///connector.example.com:443", insecure=False)
    plugin = document["plugins"]["connector-service"]
    assert plugin["connectorForTaskTypes"] == dict.fromkeys(TYPES, "cdao")
    connector = plugin["connectors"]["cdao"]
    assert (connector["endpoint"], connector["insecure"]) == (
        "dns:///connector.example.com:443",
        False,
    )
    tasks = document["tasks"]["task-plugins"]
    assert {name: tasks["default-for-task-types"][name] for name in TYPES} == dict.fromkeys(
        TYPES, "connector-service"
    )
    # A default for a plugin that is not enabled ends Propeller's start.
    assert set(tasks["default-for-task-types"].values()) <= set(tasks["enabled-plugins"])


def test_calls_wait_for_a_replica_and_try_another() -> None:
    document = rendered()
    connector = document["plugins"]["connector-service"]["connectors"]["cdao"]
    config = json.loads(connector["defaultServiceConfig"])
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    methods = {
        (name["service"], name.get("method", "")): method
        for method in config["methodConfig"]
        for name in method["name"]
    }
    tasks = "flyteidl.service.AsyncAgentService"
    for key in ((tasks, ""), (tasks, "GetTask"), ("flyteidl.service.AgentMetadataService", "")):
        retry = methods[key]["retryPolicy"]
        assert methods[key]["waitForReady"] is True
        assert 1 < retry["maxAttempts"] <= 5
        assert retry["retryableStatusCodes"] == ["UNAVAILABLE"]
        seconds = [retry["initialBackoff"], retry["maxBackoff"], methods[key]["timeout"]]
        assert all(float(text.removesuffix("s")) > 0 for text in seconds)
    assert methods[tasks, "GetTask"]["maxResponseMessageBytes"] == 16 * 1024 * 1024
    assert "\n" not in service_config(PropellerOptions())


@pytest.mark.parametrize(
    ("chart", "keys"),
    [
        ("none", ()),
        ("flyte-binary", ("configuration", "inline")),
        ("flyte-core", ("configmap", "enabled_plugins")),
    ],
)
def test_values_of_a_chart_hold_the_same(chart: Any, keys: tuple[str, ...]) -> None:
    document = rendered(chart=chart)
    for key in keys:
        document = document[key]
    assert document == rendered()


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("https://connector:8000", "no http://"),
        ("dns:///connector", "no port"),
        ('dns:///a"b:8000', "quotes"),
        ("dns:///a\nb:8000", "blanks"),
    ],
)
def test_an_endpoint_that_would_not_work_is_refused(endpoint: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        rendered(endpoint=endpoint)
