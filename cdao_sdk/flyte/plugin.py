"""What flytekit loads by its entry point: our task types and our connectors."""

from __future__ import annotations

import functools

__all__ = ["load"]


@functools.cache
def load() -> None:
    """Register task types and connectors with flytekit, once a process."""
    from cdao_sdk.flyte.connector import register_connectors
    from cdao_sdk.flyte.task import register_task_types

    register_task_types()
    register_connectors()
