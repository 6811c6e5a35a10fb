"""The AWS that the settings name; the one place that starts the embedded SageMaker.

Imports nothing of flytekit, so that looking at jobs is quick.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from cdao_sdk.errors import ConfigurationError
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
        from cdao_sdk.local.faults import FaultsRefused
        from cdao_sdk.local.server import LocalSageMaker

        with self._lock:
            server = self._servers.get(settings.state_path)
            if server is None:
                try:
                    server = LocalSageMaker(
                        settings.state_path,
                        concurrency=settings.jobs_at_once,
                        faults=settings.local_faults,
                    ).start()
                except FaultsRefused as error:
                    msg = "The embedded SageMaker's faults (local_faults, faults.json)"
                    raise ConfigurationError(msg, problems=error.problems) from error
                except OSError as error:
                    msg = (
                        f"The embedded SageMaker cannot keep its state in {settings.state_path}:"
                        f" {error}. Set state_dir to a folder that can be written."
                    )
                    raise ConfigurationError(msg) from error
                _spare_from_proxies("127.0.0.1")
                self._servers[settings.state_path] = server
            return server.url


def _spare_from_proxies(host: str) -> None:
    """Let nobody in this process, flytekit's S3 file system above all, ask a proxy for the host."""
    for name in ("NO_PROXY", "no_proxy"):
        spared = [part for part in os.environ.get(name, "").split(",") if part]
        if host not in spared:
            os.environ[name] = ",".join([*spared, host])


_embedded = _EmbeddedServers()


def connect(settings: Settings) -> Services:
    """The AWS that these settings name, the embedded one started if it has to be."""
    return services_for(settings, lambda: _embedded.url(settings))
