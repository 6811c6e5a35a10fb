"""Which instance types a kind of job may name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cdao_sdk.catalog import instances
from cdao_sdk.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9-]+")


def instance_type_problems(option: str, name: str, component: str) -> Iterator[str]:
    """What is wrong with an instance type, one sentence each.

    Args:
        option: The option that names it.
        name: Such as ``"ml.m5.large"``. Families that the catalog does not know pass.
        component: The kind of job, as the catalog names it.
    """
    full = name if name.startswith("ml.") else f"ml.{name}"
    offered = instances.instance_types(component)
    known = instances.instance(name)
    if not _INSTANCE_TYPE.fullmatch(name):
        near = did_you_mean(full, offered)
        yield f"{option}={name!r} must look like 'ml.m5.xlarge'.{near}"
    elif known is not None and component not in known.components:
        like = [t for t in offered if instances.processor(t) == instances.processor(name)]
        yield (
            f"{option}={name!r} is offered for {' and '.join(known.components)} jobs "
            f"only, not for {component} jobs.{did_you_mean(name, like)}"
        )
    elif known is None and instances.is_known_family(name):
        yield f"{option}={name!r} does not exist.{did_you_mean(name, offered)}"
