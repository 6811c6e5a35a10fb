"""Loaded by flytekit through the entry point ``flytekit.plugins``.

From then on our tasks and dict configurations are known to flytekit, ``pyflyte serve connector``
finds the connectors, and a task that is called directly runs on the embedded SageMaker. Every
process that imports flytekit pays for this module, so it loads no AWS library and no settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdao_sdk.flyte.local_run import set_backend
from cdao_sdk.flyte.plugin import load

if TYPE_CHECKING:
    from cdao_sdk.flyte.local_run import LocalRun


def _backend() -> LocalRun:
    from cdao_sdk._run import loose_run

    return loose_run()


load()
set_backend(_backend)
