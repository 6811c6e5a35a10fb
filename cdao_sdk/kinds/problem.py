"""What is wrong with a spec, and the rules for environment variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec.

    Attributes:
        fields: The fields whose values together make the problem.
        text: What is wrong, the rule, and the mend.
    """

    fields: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class EnvironmentLimits:
    """How much environment one kind of job takes: entries, and characters of a name or value."""

    entries: int
    name: int
    value: int


def environment_problems(
    option: str, environment: Mapping[str, str], limits: EnvironmentLimits, *, ours: bool = False
) -> Iterator[Problem]:
    """What is wrong with a map of environment variables.

    Args:
        option: The option that holds it.
        environment: The variables.
        limits: What SageMaker takes.
        ours: Whether names that are reserved for us may be in it.
    """
    if len(environment) > limits.entries:
        text = f"{option} has {len(environment)} entries; SageMaker takes {limits.entries}"
        yield Problem((option,), text)
    for name, value in environment.items():
        if len(name) > limits.name or not _ENVIRONMENT_NAME.fullmatch(name):
            text = f"{option}: {name[:80]!r} is no name: letters, digits and _, up to {limits.name}"
            yield Problem((option,), text)
        elif name.startswith("CDAO_") and not ours:
            yield Problem((option,), f"{option}: {name!r} is reserved: names with CDAO_ are ours")
        if len(value) > limits.value:
            text = (
                f"{option}: the value of {name[:80]!r} has {len(value)} characters; SageMaker "
                f"takes {limits.value}. Pass long values as inputs of the task"
            )
            yield Problem((option,), text)
