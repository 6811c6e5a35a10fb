"""The AWS that the settings name; the one place that starts the embedded SageMaker.

Imports nothing of flytekit, so that looking at jobs is quick.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cdao_sdk.flyte.services import services_for

if TYPE_CHECKING:
    from pathlib import Path

    from cdao_sdk.flyte.services import Services
    from cdao_sdk.local.server import LocalSageMaker
    from cdao_sdk.settings import Settings

__all__ = ["connect"]


class _EmbeddedServers:
    """The embedded SageMaker of this process, one for each state directory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[Path, LocalSageMaker] = {}

    def url(self, settings: Settings) -> str:
        """Its URL; it is started at the first call, and closes itself with the process."""
        from cdao_sdk.local.server import LocalSageMaker

        with self._lock:
            server = self._servers.get(settings.state_path)
            if server is None:
                server = LocalSageMaker(settings.state_path, concurrency=settings.jobs_at_once)
                server.start()
                self._servers[settings.state_path] = server
            return server.url


_embedded = _EmbeddedServers()


def connect(settings: Settings) -> Services:
    """The AWS that these settings name, the embedded one started if it has to be."""
    return services_for(settings, lambda: _embedded.url(settings))
