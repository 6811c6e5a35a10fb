"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdao_sdk.cli.entities import Entity

__all__ = ["given_inputs", "inputs_options"]

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
