"""What asks for a job: kept as bytes, and known by where its outputs go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import odd_jobs
import pytest
from flyteidl.admin.agent_pb2 import CreateTaskRequest

from cdao_sdk.errors import PlanError
from cdao_sdk.flyte.task_request import TaskRequest

PROPELLER = "s3://flyte/metadata/propeller/project-development-f1"


@pytest.fixture
def request_of(driven: Any) -> Any:
    """Makes the request that Propeller would."""

    def make(prefix: str, **changes: Any) -> TaskRequest:
        job = driven(odd_jobs.quick, execution="f1", **changes)
        return TaskRequest(job.template, prefix, job.literals({"number": 3}), job.metadata())

    return make


def test_request_survives_its_own_encoding(request_of: Any) -> None:
    request = request_of(f"{PROPELLER}/n0/data/2", attempt=2)
    again = TaskRequest.from_bytes(request.to_bytes())
    assert TaskRequest.from_bytes(again.to_bytes()).to_bytes() == again.to_bytes()
    assert again.output_prefix == request.output_prefix
    assert again.attempt == request.attempt
    assert again.literals["number"].scalar.primitive.integer == 3
    with pytest.raises(PlanError, match="cannot be read"):
        TaskRequest.from_bytes(b"\xff\xff")


def test_message_is_kept_as_it_came_without_what_is_not_known(request_of: Any) -> None:
    request = request_of(f"{PROPELLER}/n0/data/0")
    secret = b"\x32\x06secret"  # field 6, which is a connection in later releases of Flyte
    message = CreateTaskRequest.FromString(request.to_bytes() + secret)
    assert b"secret" in message.SerializeToString()
    assert replace(request, message=message).to_bytes() == request.to_bytes()


@pytest.mark.parametrize("said", [True, False])
def test_word_on_spot_instances_survives(request_of: Any, said: bool) -> None:
    request = request_of("")
    assert request.metadata is not None
    request.metadata.interruptible = said
    assert TaskRequest.from_bytes(request.to_bytes()).metadata.interruptible is said


def test_silence_on_spot_instances_survives(request_of: Any) -> None:
    """Propeller 1.16.8 does not say it: the task's own word holds then."""
    metadata = TaskRequest.from_bytes(request_of("").to_bytes()).metadata
    assert getattr(metadata, "interruptible", None) is None


@pytest.mark.parametrize(
    ("prefix", "node"),
    [
        (f"{PROPELLER}/n0/data/0", "n0"),
        (f"{PROPELLER}/n1/data/0/n0/0", "n1-0-n0"),
        (f"{PROPELLER}/n1/data/1/n0/0/", "n1-1-n0"),
        ("s3://elsewhere/out", "n0"),
        ("", "n0"),
    ],
)
def test_same_node_of_two_subworkflows_is_two_nodes(
    request_of: Any, prefix: str, node: str
) -> None:
    assert request_of(prefix).attempt.node == node
