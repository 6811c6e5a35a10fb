"""Whether the Flyte cluster lets us in, and has the project."""

# flyteidl and flytekit ship no type information: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cdao_sdk._doctor.findings import failed, found

if TYPE_CHECKING:
    from cdao_sdk._doctor.findings import Finding
    from cdao_sdk.settings import Settings

__all__ = ["flyte_project"]

_PROJECTS = 1_000


async def flyte_project(settings: Settings) -> Finding:
    """Log in to FlyteAdmin, and look for project and domain."""
    return await asyncio.to_thread(_look, settings)


def _look(settings: Settings) -> Finding:
    from flyteidl.admin import project_pb2
    from flytekit.clients.raw import RawSynchronousFlyteClient as Admin

    from cdao_sdk.flyte.remote import cluster_for

    request = project_pb2.ProjectListRequest(limit=_PROJECTS)
    projects = cluster_for(settings).call(Admin.list_projects, request).projects
    domains = {project.id: [domain.id for domain in project.domains] for project in projects}
    place = f"{settings.project}/{settings.domain}"
    if settings.project not in domains:
        there = ", ".join(sorted(domains)[:10])
        return failed(
            "flyte project", f"no project {settings.project!r}; there are: {there}", _MEND
        )
    if domains[settings.project] and settings.domain not in domains[settings.project]:
        there = ", ".join(domains[settings.project])
        text = f"no domain {settings.domain!r}; there are: {there}"
        return failed("flyte project", text, _MEND)
    return found("flyte project", f"{place} is there, and we may look")


_MEND = "set project and domain (CDAO_PROJECT, CDAO_DOMAIN), or have the project created"
