"""``cdao register``: bring workflows to a cluster without running them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import rich_click

from cdao_sdk.cli.options import cluster_options, use_cluster
from cdao_sdk.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdao_sdk.cli.entities import Entity
    from cdao_sdk.flyte.serialization import Prepared

__all__ = ["register"]


@rich_click.command()
@click.argument("targets", metavar="FILE|FOLDER|MODULE", nargs=-1, required=True)
@cluster_options
@click.option(
    "--activate-launchplans", is_flag=True, help="Make this version of each launch plan active."
)
@click.option("--dry-run", is_flag=True, help="Say what would be registered; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def register(
    targets: tuple[str, ...],
    version: str | None,
    *,
    activate_launchplans: bool,
    dry_run: bool,
    as_json: bool,
    **cluster: str | None,
) -> None:
    """Register workflows, launch plans and tasks with the cluster.

    \b
    Without --version it is a hash of code and settings: what has not changed
    is registered and uploaded once, from whatever machine.
    \b
    Examples:
      cdao register flow.py
      cdao register workflows/ --project ml --domain production --version v1.4.0
      cdao register my_package.flows --dry-run --json
    """
    from cdao_sdk.flyte.launch_options import check_version
    from cdao_sdk.flyte.serialization import (
        prepare,  # pyright: ignore[reportUnknownVariableType] # flytekit's types
    )
    from cdao_sdk.settings import holder

    check_version(version)
    use_cluster(**cluster)
    settings = holder.gather().settings
    entities = _entities(targets)
    prepared = prepare(entities, settings)  # pyright: ignore[reportArgumentType] # flytekit's types
    wanted = version or prepared.version
    is_new = False if dry_run else _register(prepared, version, activate=activate_launchplans)
    if as_json:
        document = {
            "version": wanted,
            "project": settings.project,
            "domain": settings.domain,
            "registered": is_new,
            "entities": [{"kind": kind, "name": name} for kind, name in prepared.names],
        }
        click.echo(json.dumps(document))
        return
    for kind, name in prepared.names:
        click.echo(f"{kind.replace('_', ' '):<12}{name}")
    ending = "would be registered" if dry_run else "registered" if is_new else "was there already"
    click.echo(f"version {wanted} in {settings.project}/{settings.domain}: {ending}", err=True)


def _register(prepared: Prepared, version: str | None, *, activate: bool) -> bool:
    """Whether anything had to be sent."""
    from cdao_sdk.flyte.registration import Registrar
    from cdao_sdk.flyte.remote import cluster_for

    registrar = Registrar(cluster_for(prepared.settings), prepared.settings)
    done = registrar.ensure(prepared) if version is None else registrar.register(prepared, version)
    if activate:
        for kind, name in prepared.names:
            if kind == "launch_plan":
                registrar.activate(name, done.version)
    return done.is_new


def _entities(targets: Sequence[str]) -> list[Entity]:
    """What stands in the modules that the targets name.

    Raises:
        PlanError: A module cannot be imported, or nothing is in them.
    """
    from cdao_sdk.cli.entities import entities_in, load_module

    found: dict[int, Entity] = {}
    for target in targets:
        for module in map(load_module, _modules(target)):
            found.update((id(entity), entity) for entity in entities_in(module).values())
    if not found:
        msg = f"{', '.join(targets)}: there is no workflow, launch plan or task in it."
        raise PlanError(msg)
    return list(found.values())


def _modules(target: str) -> Iterator[str]:
    """A folder's files, those of packages below it too; anything else as it is."""
    folder = Path(target).expanduser()
    if not folder.is_dir():
        yield target
        return
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and path.is_file():
            yield str(path)
        elif (path / "__init__.py").is_file():
            yield from _modules(str(path))
