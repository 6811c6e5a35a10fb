"""Plain tasks: their container's command in a process of this machine, as a kubelet would."""

# ruff: noqa: ARG002 # it has the same face as the connector plugin

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flyteidl.core import literals_pb2

from flyte_double.blobs import Blobs
from flyte_double.state import Context, PhaseInfo, Plugin, user_error
from flyte_double.template import rendered


class ContainerPlugin:
    """Runs containers. The processes outlive Propeller, as pods do."""

    id = "container"

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pods: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="flyte-pods-")

    async def handle(self, ctx: Context, wake: Callable[[], None]) -> tuple[Any, PhaseInfo]:
        name = ctx.generated_name
        if name not in self._pods:
            self._pods[name] = self._start(ctx, Path(self._folder.name) / name)
            return "Started", PhaseInfo(Plugin.QUEUED, reason="task submitted to K8s")
        process, log = self._pods[name]
        if process.poll() is None:
            return "Started", PhaseInfo(Plugin.RUNNING)
        if process.returncode == 0:
            return "Started", PhaseInfo(Plugin.SUCCESS)
        text = log.read_text(errors="replace")[-2000:]
        error = user_error("UnknownError", f"container exited with {process.returncode}:\n{text}")
        return "Started", PhaseInfo(Plugin.RETRYABLE, error=error)

    async def abort(self, ctx: Context) -> None:
        pod = self._pods.get(ctx.generated_name)
        if pod and pod[0].poll() is None:
            pod[0].terminate()

    def finalize(self, ctx: Context) -> None:
        pod = self._pods.get(ctx.generated_name)
        if pod and pod[0].poll() is not None:
            del self._pods[ctx.generated_name]

    def written_outputs(self, ctx: Context) -> tuple[bool, literals_pb2.LiteralMap | None]:
        return False, None

    def close(self) -> None:
        for process, _ in self._pods.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        self._folder.cleanup()

    def _start(self, ctx: Context, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
        folder.mkdir()
        container = rendered(ctx, self._blobs)[0].container
        resource = ctx.resource
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("CDAO_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "FLYTE_AWS_ENDPOINT": self._blobs.url,
            "FLYTE_AWS_ACCESS_KEY_ID": "local",
            "FLYTE_AWS_SECRET_ACCESS_KEY": "local",
            "FLYTE_INTERNAL_EXECUTION_ID": resource.id.name,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": resource.id.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": resource.id.domain,
            "FLYTE_ATTEMPT_NUMBER": str(ctx.status.attempts),
            **{pair.key: pair.value for pair in container.env},
            **resource.environment,
            **ctx.environment,
        }
        # A container's working directory is /root; here each has a folder of its own.
        command = [
            "." if word in ("/root", "/root/") else word
            for word in [*container.command, *container.args]
        ]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        return process, log
