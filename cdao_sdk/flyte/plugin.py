"""What flytekit loads by its entry point: our task types and our connectors."""

from __future__ import annotations

import functools
import os
import threading

from cdao_sdk.flyte.filesystems import close_s3_sessions

__all__ = ["load"]


@functools.cache
def load() -> None:
    """Register task types and connectors with flytekit, once a process."""
    from cdao_sdk.flyte.connector import register_connectors
    from cdao_sdk.flyte.task import register_task_types

    register_task_types()
    register_connectors()
    if "CDAO_RUNNER" in os.environ:
        # Inside a job flytekit's complaints of open sessions would fill the log's last lines; at
        # atexit its event loops are closed.
        threading._register_atexit(close_s3_sessions)  # noqa: SLF001 # pyright: ignore # as concurrent.futures does
