"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.cli.entities import Entity

__all__ = ["cluster_options", "given_inputs", "inputs_options", "use_cluster"]

Command = TypeVar("Command", bound="Callable[..., object]")


def inputs_options(command: Command) -> Command:
    """``--inputs`` and ``--input``, as the parameters ``inputs`` and ``pairs``."""
    command = click.option(
        "--input",
        "pairs",
        multiple=True,
        metavar="NAME=VALUE",
        help="One input; the value is JSON, or else text. May be repeated.",
    )(command)
    return click.option(
        "--inputs", metavar="JSON", help="All inputs: a JSON object, or @file.json."
    )(command)


def cluster_options(command: Command) -> Command:
    """Where and how to register, as pyflyte names it; see ``use_cluster``."""
    options = (
        click.option("-p", "--project", help="Flyte project; default: the settings'."),
        click.option("-d", "--domain", help="Flyte domain; default: the settings'."),
        click.option("--image", help="Container image of plain Flyte tasks."),
        click.option(
            "--copy",
            "copy_style",
            type=click.Choice(["auto", "all"]),
            help="Code that goes along: imported modules (auto), or the project's folder.",
        ),
        click.option("-v", "--version", help="Version; default: a hash of the content."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def use_cluster(
    *, project: str | None, domain: str | None, image: str | None, copy_style: str | None
) -> None:
    """Let the options of ``cluster_options`` win over the settings, for this process.

    Raises:
        ConfigurationError: One is malformed.
    """
    from cdao_sdk.settings import holder

    given = {"project": project, "domain": domain, "image": image, "copy_style": copy_style}
    holder.update({name: value for name, value in given.items() if value is not None})


def given_inputs(
    file: str, workflow: str, inputs: str | None, pairs: tuple[str, ...]
) -> tuple[Entity, dict[str, object]]:
    """The entity that a command line names, and the inputs that it gives.

    Raises:
        PlanError: There is no such entity, or the inputs cannot be read.
    """
    from cdao_sdk.cli.entities import find_entity, load_module, merge_inputs, parse_json_inputs

    document = parse_json_inputs(inputs) if inputs else {}
    entity = find_entity(load_module(file), workflow)
    return entity, merge_inputs(document, pairs, entity)
