"""What is wrong with a spec, and the rules for environment variables and tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENVIRONMENT_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAG_NAME_OR_VALUE = re.compile(r"[\w .:/=+\-@]*")

OWN_TAGS = 10
"""Tags that every job gets from us: execution, project, domain, workflow, node, owner and so on."""


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
    """How much environment one kind of job takes.

    Attributes:
        entries: Number of variables.
        name: Characters of a name.
        value: Characters of a value.
        total_bytes: All names and values together; ``None`` without such a limit.
    """

    entries: int
    name: int
    value: int
    total_bytes: int | None = None


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
    total = sum(len(text.encode()) for entry in environment.items() for text in entry)
    if limits.total_bytes is not None and total > limits.total_bytes:
        text = (
            f"{option} has {total} bytes of names and values; SageMaker takes {limits.total_bytes}"
        )
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


def tag_problems(tags: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with the user's tags."""
    room = 50 - OWN_TAGS
    if len(tags) > room:
        text = f"tags has {len(tags)} entries; at most {room} (ours take {OWN_TAGS} of 50)"
        yield Problem(("tags",), text)
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or not _TAG_NAME_OR_VALUE.fullmatch(name):
            text = f"tag name {name!r}: 1 to 128 letters, digits, blanks or any of _.:/=+-@"
            yield Problem(("tags",), text)
        elif name.lower().startswith("aws:"):
            yield Problem(("tags",), f"tag name {name!r}: names with 'aws:' are AWS's own")
        if len(value) > 256 or not _TAG_NAME_OR_VALUE.fullmatch(value):
            text = f"tag {name!r}: its value {value!r} may have up to 256 letters, digits, "
            yield Problem(("tags",), text + "blanks or any of _.:/=+-@")
