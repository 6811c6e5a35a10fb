"""Which Flyte cluster the settings name. Imports nothing of flytekit: looking is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdao_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from cdao_sdk.settings import Settings

__all__ = ["ClusterTarget", "target_of"]


@dataclass(frozen=True)
class ClusterTarget:
    """Which cluster, and what in it.

    Attributes:
        endpoint: FlyteAdmin's host, with its port if it is not TLS's own.
        insecure: Whether to talk to it without TLS.
        project: Flyte's project.
        domain: Flyte's domain.
    """

    endpoint: str
    insecure: bool
    project: str
    domain: str


def target_of(settings: Settings) -> ClusterTarget:
    """The cluster that settings name.

    ``http://`` and ``https://`` before the endpoint decide on TLS, whatever ``insecure`` says.

    Raises:
        ConfigurationError: They name none.
    """
    given = settings.admin_endpoint
    if not given:
        msg = (
            "There is no Flyte cluster to run on: configure(admin_endpoint='https://…'),"
            " CDAO_ADMIN_ENDPOINT, or admin.endpoint in .flyte/config.yaml."
        )
        raise ConfigurationError(msg)
    scheme, separator, rest = given.partition(":/")
    host = (rest if separator else given).strip("/")
    insecure = {"http": True, "https": False}.get(scheme if separator else "", settings.insecure)
    if scheme == "http" and separator and not host.rpartition(":")[2].isdigit():
        host = f"{host}:80"  # gRPC itself would take 443
    return ClusterTarget(host, insecure, settings.project, settings.domain)
