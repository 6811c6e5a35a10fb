"""The kinds of jobs, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdao_sdk.errors import SpecError, did_you_mean
from cdao_sdk.kinds import processing, training, transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdao_sdk.kinds.job import JobKind

# A kind takes only its own specs; a mapping of kinds cannot say which, so Any stands for them.
_ALL: tuple[JobKind[Any], ...] = (
    training.KIND,
    processing.KIND,
    transform.KIND,
)

KINDS: Mapping[str, JobKind[Any]] = {each.name: each for each in _ALL}
"""Every kind by its name."""


def kind(name: str) -> JobKind[Any]:
    """A kind by its name or one of its aliases, such as ``"batch_transform"``.

    Raises:
        SpecError: There is no such kind.
    """
    names = {alias: k for k in KINDS.values() for alias in (k.name, *k.aliases)}
    if name not in names:
        known = ", ".join(KINDS)
        msg = f"no kind of job is named {name!r}; there are {known}.{did_you_mean(name, names)}"
        raise SpecError(msg)
    return names[name]
