"""The AWS that the settings name, for commands that look at jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdao_sdk.aws.session import AwsClients
    from cdao_sdk.settings import Settings

__all__ = ["connected"]


def connected() -> tuple[AwsClients, Settings]:
    """Clients and settings; the embedded SageMaker is started if it is the one that is meant."""
    from cdao_sdk._connect import connect
    from cdao_sdk.settings import holder

    settings = holder.gather().settings
    return connect(settings).clients, settings
