"""Which checks there are, in which order."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cdao_sdk._doctor import machine
from cdao_sdk._doctor.account import Account
from cdao_sdk._doctor.cluster import flyte_project
from cdao_sdk._doctor.findings import Check, Finding, failed, found, run_checks, skipped
from cdao_sdk._doctor.network import SERVICES, Network, flyte
from cdao_sdk._doctor.resources import Needs, Resources
from cdao_sdk.aws.bridge import bridge
from cdao_sdk.aws.session import AwsClients, AwsTarget
from cdao_sdk.errors import ConfigurationError
from cdao_sdk.flyte.cluster_target import target_of
from cdao_sdk.settings import holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdao_sdk.settings import Settings, SettingsWithSources

__all__ = ["Diagnosis", "diagnose"]

LIMIT_SECONDS = 5.0
_LOAD_SECONDS = 30.0  # no network is asked, but a busy machine may be slow


@dataclass(frozen=True)
class Diagnosis:
    """What all checks found.

    Attributes:
        findings: One a check, in their order.
    """

    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return all(finding.status != "fail" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """``ok`` and ``checks``, each with ``name``, ``status``, ``text`` and ``mend``."""
        return {"ok": self.is_well, "checks": [asdict(finding) for finding in self.findings]}


def diagnose(
    needs: Needs | None = None, *, write: bool = False, limit_seconds: float = LIMIT_SECONDS
) -> Diagnosis:
    """Look at everything that a run needs, all at the same time.

    Args:
        needs: What a workflow's jobs use, where one was named.
        write: Whether to write and delete one object in the bucket.
        limit_seconds: What each check gets.
    """
    try:
        gathered = holder.gather()
    except ConfigurationError as error:
        checks = list(_here())
        findings = bridge.run(run_checks(checks, limit_seconds))
        text = "; ".join(error.problems) or error.message
        broken = failed("settings", text, "correct them where they are set")
        return Diagnosis((*findings, broken, skipped("the rest", "it needs valid settings")))
    # Clients of its own: those that are shared may have been made with other credentials.
    clients = AwsClients(AwsTarget(gathered.settings.region_name))
    account = Account(clients, clients.target.region)
    checks = [*_here(), *_surroundings(gathered, account, needs, limit_seconds, write=write)]
    try:
        if not _is_embedded(gathered.settings):
            bridge.run(_warm_up(clients, needs))
        return Diagnosis(tuple(bridge.run(run_checks(checks, limit_seconds))))
    finally:
        bridge.run(clients.close())


async def _warm_up(clients: AwsClients, needs: Needs | None) -> None:
    """Make the clients first: that is work of this machine, which a check's limit is not for."""
    services = (*SERVICES, "iam", *(("ecr", "service-quotas") if needs else ()))
    made = (clients.client(service) for service in services)
    # A client that cannot be made fails again in the check that needs it, and is told there.
    await asyncio.gather(*made, return_exceptions=True)


def _is_embedded(settings: Settings) -> bool:
    is_here = settings.sagemaker_backend == "embedded" or bool(settings.endpoint_url)
    return is_here and not settings.admin_endpoint


def _here() -> Iterator[Check]:
    yield Check("python", machine.python)
    yield Check("packages", machine.packages)
    yield Check("flytekit", machine.flytekit, limit_seconds=_LOAD_SECONDS)


def _surroundings(
    gathered: SettingsWithSources,
    account: Account,
    needs: Needs | None,
    limit_seconds: float,
    *,
    write: bool,
) -> Iterator[Check]:
    settings = gathered.settings
    is_embedded = _is_embedded(settings)
    yield Check("settings", functools.partial(machine.settings, gathered))
    yield Check("runs on", functools.partial(machine.place, settings, is_embedded=is_embedded))
    if needs is not None:
        yield Check("workflow", functools.partial(_workflow, needs))
    if is_embedded:
        yield from _embedded(settings)
    else:
        yield from _aws(settings, account, needs, limit_seconds, write=write)
    if settings.admin_endpoint:
        target = target_of(settings)
        ask = functools.partial(
            flyte, target.endpoint, insecure=target.insecure, limit_seconds=limit_seconds
        )
        yield Check("flyte", ask)
        yield Check("flyte project", functools.partial(flyte_project, settings), _LOAD_SECONDS)


async def _workflow(needs: Needs) -> Finding:
    if needs.problem:
        return failed("workflow", needs.problem, "`cdao plan` shows all of it")
    return found("workflow", "each step that should be a job can become one")


def _embedded(settings: Settings) -> Iterator[Check]:
    yield Check("server", functools.partial(machine.embedded, settings), _LOAD_SECONDS)
    if settings.endpoint_url:
        return  # what it keeps, and where, is its own affair
    yield Check("state", functools.partial(machine.disk, settings.state_path))
    yield Check("/opt/ml", machine.namespaces, _LOAD_SECONDS)
    yield Check("extras", machine.extras)


def _aws(
    settings: Settings,
    account: Account,
    needs: Needs | None,
    limit_seconds: float,
    *,
    write: bool,
) -> Iterator[Check]:
    network = Network(account.clients, limit_seconds * 0.8)
    resources = Resources(account, needs)
    roles = dict.fromkeys((settings.sagemaker_role, *(needs.roles if needs else ())))
    named = [role for role in roles if role] or [None]
    yield Check("region", functools.partial(machine.region, account.region))
    yield Check("credentials", account.credentials)
    for role in named:
        yield Check("role", functools.partial(account.role, role))
    yield Check("permissions", functools.partial(account.permissions, named[0]))
    bucket = functools.partial(
        account.bucket,
        settings.default_bucket,
        needed=not settings.admin_endpoint,
        write=write,
    )
    yield Check("bucket", bucket)
    yield Check("images", resources.images)
    yield Check("quotas", resources.quotas, limit_seconds=2 * limit_seconds)
    yield Check("endpoints", network.endpoints)
    yield Check("clock", network.clock)
