"""Every call of a target with a role is signed by that role's credentials."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.calls import call
from cdao_sdk.aws.session import AwsTarget, embedded_target
from cdao_sdk.errors import SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.aws.session import AwsClients

ROLE = "arn:aws:iam::210987654321:role/cdao"


@pytest.fixture
def assuming(signatures: Any, clients_of: Callable[[AwsTarget], AwsClients]) -> AwsClients:
    return clients_of(embedded_target(signatures.url, role_arn=ROLE, external_id="cdao-1"))


def list_models(clients: AwsClients) -> None:
    bridge.run(call(clients, "sagemaker", "ListModels", {}), timeout=30)


def test_calls_are_signed_with_the_roles_credentials(assuming: Any, signatures: Any) -> None:
    list_models(assuming)
    (assume, own), (operation, assumed) = signatures.signed
    assert (assume, own, operation) == ("AssumeRole", "local", "ListModels")
    assert assumed.startswith("ASIA")
    (asked,) = signatures.assumed
    assert (asked["RoleArn"], asked["ExternalId"]) == (ROLE, "cdao-1")
    assert asked["RoleSessionName"] == "cdao-sdk"


def test_role_without_an_external_id_sends_none(
    signatures: Any, clients_of: Callable[[AwsTarget], AwsClients]
) -> None:
    list_models(clients_of(embedded_target(signatures.url, role_arn=ROLE)))
    assert "ExternalId" not in signatures.assumed[0]


def test_clients_of_all_services_share_one_assumed_session(assuming: Any, signatures: Any) -> None:
    async def several() -> None:
        calls = [
            call(assuming, "sagemaker", "ListModels", {}),
            call(assuming, "sagemaker", "ListTrainingJobs", {}),
            call(assuming, "logs", "DescribeLogGroups", {}),
        ]
        await asyncio.gather(*calls, return_exceptions=True)

    bridge.run(several(), timeout=30)
    assert len(signatures.assumed) == 1
    assert len({key for operation, key in signatures.signed if operation != "AssumeRole"}) == 1


def test_credentials_are_renewed_before_they_expire(assuming: Any, signatures: Any) -> None:
    signatures.lasting = 60  # less than what botocore wants to have left
    list_models(assuming)
    list_models(assuming)
    signatures.lasting = None
    list_models(assuming)
    list_models(assuming)
    assert len(signatures.assumed) == 3
    keys = [key for operation, key in signatures.signed if operation == "ListModels"]
    assert len(set(keys)) == 3
    assert keys[2] == keys[3]


def test_role_that_may_not_be_assumed_is_said_to_be_so(assuming: Any, signatures: Any) -> None:
    signatures.denies_role = True
    with pytest.raises(SubmissionError, match="AssumeRole was refused") as caught:
        list_models(assuming)
    assert "trust policy" in str(caught.value)
    signatures.denies_role = False
    list_models(assuming)


def test_external_id_is_not_shown() -> None:
    target = AwsTarget("eu-west-1", role_arn=ROLE, external_id="the-id")
    assert "the-id" not in repr(target)
    assert ROLE in repr(target)
