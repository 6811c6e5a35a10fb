"""Credentials of an assumed role, renewed before they expire."""

# botocore ships no type information: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aiobotocore.config import AioConfig
    from aiobotocore.credentials import AioCredentialResolver

    from cdao_sdk.aws.session import AwsTarget

_SESSION_NAME = "cdao-sdk"  # what CloudTrail shows


def assumed_role(target: AwsTarget, config: AioConfig) -> AioCredentialResolver:
    """Where sessions find the credentials of a target's role.

    All sessions that are given it share the same credentials: one AssumeRole an hour.

    Args:
        target: Has a ``role_arn``.
        config: For the calls to STS.
    """
    from aiobotocore.credentials import (
        AioAssumeRoleCredentialFetcher,
        AioCredentialResolver,
        AioCredentials,
        AioDeferredRefreshableCredentials,
    )
    from aiobotocore.session import get_session
    from botocore.credentials import CredentialProvider
    from botocore.exceptions import NoCredentialsError

    session = get_session()
    asked: dict[str, str] = {"RoleSessionName": _SESSION_NAME}
    if target.external_id:
        asked["ExternalId"] = target.external_id

    async def renew() -> object:
        if target.access_key_id:
            source = AioCredentials(target.access_key_id, target.secret_access_key)
        else:
            source = await session.get_credentials()
        if source is None:
            raise NoCredentialsError
        fetcher = AioAssumeRoleCredentialFetcher(
            # The region's own STS: it answers also where the global one may not be reached.
            functools.partial(
                session.create_client,
                region_name=target.region,
                endpoint_url=target.endpoint_url,
                config=config,
            ),
            source,
            target.role_arn,
            extra_args=asked,
        )
        return await fetcher.fetch_credentials()

    class Provider(CredentialProvider):
        METHOD = CANONICAL_NAME = "assume-role"

        def __init__(self) -> None:
            super().__init__()
            self._credentials = AioDeferredRefreshableCredentials(renew, self.METHOD)

        async def load(self) -> object:
            return self._credentials

    return cast("AioCredentialResolver", AioCredentialResolver([Provider()]))
