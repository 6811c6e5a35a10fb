"""What FlyteAdmin says to registrations and to launches that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import scripted
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import identifier_pb2
from flytekit.exceptions.user import (
    FlyteEntityAlreadyExistsException,
    FlyteEntityNotExistException,
    FlyteInvalidInputException,
)
from flytekit.models import filters
from flytekit.tools.translator import get_serializable


@pytest.fixture
def client(bare: Any) -> Any:
    client = bare()
    client.remote.register_workflow(scripted.one, client.settings(), version="v1")
    return client


def create_task(client: Any, **changes: Any) -> None:
    settings = client.settings()
    spec = get_serializable({}, settings, scripted.plus_one)
    for name, value in changes.items():
        setattr(spec.template, name, value)
    client.remote.client.create_task(spec.template.id, spec)


def test_same_task_exists_and_another_one_is_refused(client: Any) -> None:
    with pytest.raises(FlyteEntityAlreadyExistsException):
        create_task(client)
    with pytest.raises(FlyteInvalidInputException) as refused:
        create_task(client, _type="another")
    assert "different structure already exists" in str(refused.value.__cause__)


def test_registering_again_changes_nothing(client: Any) -> None:
    again = client.remote.register_workflow(scripted.one, client.settings(), version="v1")
    assert again.id.version == "v1"
    assert len(client.flyte.database.workflows) == 1


def test_versions_are_listed_newest_first_page_by_page(client: Any) -> None:
    for version in ("v2", "v3"):
        client.remote.register_workflow(scripted.one, client.settings(version), version=version)
    assert client.remote.fetch_workflow(name="scripted.one").id.version == "v3"
    identifier = client.remote.fetch_workflow(name="scripted.one", version="v1").id
    named = common_pb2.NamedEntityIdentifier(
        project=identifier.project, domain=identifier.domain, name=identifier.name
    )
    from flytekit.models.common import NamedEntityIdentifier

    named = NamedEntityIdentifier.from_flyte_idl(named)
    first, token = client.remote.client.list_workflows_paginated(named, limit=2)
    rest, end = client.remote.client.list_workflows_paginated(named, limit=2, token=token)
    assert [item.id.version for item in first + rest] == ["v1", "v2", "v3"]
    assert end == ""
    only = [filters.Equal("version", "v2")]
    found, _ = client.remote.client.list_workflows_paginated(named, limit=5, filters=only)
    assert [item.id.version for item in found] == ["v2"]


def test_missing_entities_are_not_found(client: Any) -> None:
    with pytest.raises(FlyteEntityNotExistException):
        client.remote.fetch_workflow(name="scripted.nothing", version="v1")
    with pytest.raises(FlyteEntityNotExistException):
        client.remote.fetch_execution(name="nothing")


def test_one_version_of_a_launch_plan_is_active(client: Any) -> None:
    remote = client.remote
    for version in ("v1", "v2"):
        plan = remote.register_launch_plan(
            scripted.one_with_six, version, serialization_settings=client.settings(version)
        )
        remote.activate_launchplan(plan.id)
    active = remote.fetch_active_launchplan(name="scripted.one_with_six")
    assert active.id.version == "v2"


def test_defaults_and_fixed_inputs_of_launch_plans_hold(client: Any) -> None:
    remote = client.remote
    plans = [
        remote.register_launch_plan(plan, "v1", serialization_settings=client.settings())
        for plan in (scripted.one_from_five, scripted.one_with_six)
    ]
    results = [client.wait(remote.execute(plan, inputs={})).outputs["o0"] for plan in plans]
    assert results == [6, 7]
    with pytest.raises(Exception, match="number"):
        remote.execute(plans[1], inputs={"number": 2})


def test_names_of_executions_are_unique_and_checked(client: Any) -> None:
    remote = client.remote
    workflow = remote.fetch_workflow(name="scripted.one", version="v1")
    first = remote.execute(workflow, inputs={}, execution_name="my-run")
    assert remote.execute(workflow, inputs={}, execution_name="my-run").id.name == "my-run"
    assert len(client.flyte.executions) == 1
    with pytest.raises(FlyteInvalidInputException):
        remote.execute(workflow, inputs={}, execution_name="1-run")
    client.wait(first)


def test_wrong_inputs_are_refused(client: Any) -> None:
    plan = identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN,
        project="flytesnacks",
        domain="development",
        name="scripted.one",
        version="v1",
    )
    request = execution_pb2.ExecutionCreateRequest(
        project="flytesnacks", domain="development", name="bad"
    )
    request.spec.launch_plan.CopyFrom(plan)
    request.inputs.literals["number"].scalar.primitive.string_value = "five"
    with pytest.raises(FlyteInvalidInputException) as refused:
        client.remote.client._stub.CreateExecution(request)
    assert "invalid number input wrong type" in str(refused.value.__cause__)


def test_options_reach_the_connector(client: Any, scripts: Any) -> None:
    from flytekit import Options
    from flytekit.models.common import Labels

    remote = client.remote
    workflow = remote.fetch_workflow(name="scripted.one", version="v1")
    execution = remote.execute(
        workflow,
        inputs={},
        options=Options(labels=Labels({"team": "risk"})),
        envs={"MODE": "test"},
        interruptible=True,
    )
    client.wait(execution)
    (metadata,) = scripts.requests
    assert metadata.labels["team"] == "risk"
    assert metadata.labels["interruptible"] == "true"  # the field of that name is never set
    assert metadata.labels["node-id"] == "n0"
    assert metadata.labels["workflow-name"] == "scripted-one"
    assert metadata.environment_variables == {"MODE": "test"}
    assert metadata.namespace == "flytesnacks-development"


def test_relaunch_runs_again_with_the_same_inputs(client: Any) -> None:
    first = client.wait(client.execute(scripted.one, number=4))
    again = client.remote.client.relaunch_execution(first.id, "once-more")
    second = client.wait(client.remote.fetch_execution(name=again.name))
    assert second.outputs["o0"] == first.outputs["o0"] == 5
    newest = client.remote.recent_executions(limit=1)
    assert [item.id.name for item in newest] == ["once-more"]
